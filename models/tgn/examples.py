"""Training examples as they were before their own events touched the graph.

Learning on every small step would cost more than serving it, so the inputs of embeddings are captured when an event
is ranked and learned from once enough events have come together. Captured inputs cannot leak: they hold the memory,
messages and neighbours of the moment before the event, however much later the gradient is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from dyngraph.nodes import RawMessages
from dyngraph.state import State
from models.tgn.reading import Near, Slots

T = TypeVar("T", bound=tuple)  # type: ignore[type-arg]


class Inputs(NamedTuple):
    """All that an embedding of n nodes is computed from, except learned weights."""

    rows: Tensor
    """``[n]`` rows of the nodes."""
    away: Tensor
    """``[n]`` log1p of the days since the node's last event."""
    raw: RawMessages
    slots: Slots | None
    """None for an encoder without attention."""


class Examples(NamedTuple):
    """E events: query ``users[query]`` met ``items[item]``, and wanted it or refused it."""

    users: Inputs
    items: Inputs
    query: Tensor
    """``[E]`` places in ``users``."""
    item: Tensor
    """``[E]`` places in ``items``."""
    wanted: Tensor
    """``[E]`` bool, false for a refusal."""

    @property
    def events(self) -> int:
        """E."""
        return int(self.query.shape[0])

    def chosen(self, events: Tensor) -> Examples:
        """The examples ``events [m]`` alone, one user and one item entry each."""
        at = torch.arange(events.shape[0])
        users, items = self.query[events], self.item[events]
        return Examples(
            each(lambda rows: rows[users], self.users),
            each(lambda rows: rows[items], self.items),
            at,
            at,
            self.wanted[events],
        )


def each(change: Callable[[Tensor], Tensor], whole: T) -> T:
    """A structure of tensors with every tensor changed."""
    return type(whole)(*(_each(change, part) for part in whole))


def _each(change: Callable[[Tensor], Tensor], part: Any) -> Any:
    if part is None:
        return None
    return change(part) if isinstance(part, Tensor) else each(change, part)


def joined(left: T, right: T) -> T:
    """Two structures of tensors, one after the other along the first dimension."""
    return type(left)(*(_joined(a, b) for a, b in zip(left, right, strict=True)))


def _joined(a: Any, b: Any) -> Any:
    if a is None:
        return None
    return torch.cat((a, b)) if isinstance(a, Tensor) else joined(a, b)


def together(first: Examples | None, second: Examples) -> Examples:
    """The examples of both."""
    if first is None:
        return second
    users, items = first.users.rows.shape[0], first.items.rows.shape[0]
    return joined(first, second._replace(query=second.query + users, item=second.item + items))


def without_user(examples: Examples, user: int) -> Examples:
    """The examples of all others, and nothing of the user left in theirs."""
    users, items, query, item, wanted = examples
    kept = users.rows[query] != user
    # Inputs of dropped events keep their places, but hold nothing any more.
    others = users.rows != user
    users = each(lambda rows: _masked(rows, others), users)
    users = users._replace(slots=_forgotten(users.slots, user, among_users=False))
    # A message of an item may be the user's own: it goes, with those of all items that may have met the user.
    strangers = torch.zeros_like(items.rows, dtype=torch.bool)
    if items.slots is not None:
        strangers = (items.slots.nodes != user).all(1)
    raw = items.raw._replace(message=_masked(items.raw.message, strangers), pending=items.raw.pending & strangers)
    items = items._replace(raw=raw, slots=_forgotten(items.slots, user, among_users=True))
    return Examples(users, items, query[kept], item[kept], wanted[kept])


def _forgotten(slots: Slots | None, user: int, *, among_users: bool) -> Slots | None:
    """Slots that no longer hold a user; ``among_users`` says whether the neighbours are users."""
    if slots is None:
        return None
    if slots.below is not None:
        deeper = _forgotten(slots.below.slots, user, among_users=not among_users)
        assert deeper is not None
        slots = slots._replace(below=Near(slots.below.h, deeper))
    if not among_users:
        return slots
    others = slots.nodes != user
    return each(lambda part: _masked(part, others), slots)


def _masked(part: Tensor, kept: Tensor) -> Tensor:
    """Zero where ``kept`` is false; it has the leading dimensions of ``part``."""
    return part * kept.view(*kept.shape, *[1] * (part.dim() - kept.dim()))


def flat(whole: Any, prefix: str = "") -> State:
    """A structure of tensors as a state; names follow the fields."""
    state: State = {}
    for name, part in zip(whole._fields, whole, strict=True):
        if isinstance(part, Tensor):
            state[f"{prefix}{name}"] = part
        elif part is not None:
            state |= flat(part, f"{prefix}{name}.")
    return state


def restored(state: State) -> Examples:
    """Inverse of :func:`flat` for examples."""
    return Examples(_inputs(state, "users."), _inputs(state, "items."), state["query"], state["item"], state["wanted"])


def _inputs(state: State, prefix: str) -> Inputs:
    raw = RawMessages(*(state[f"{prefix}raw.{name}"] for name in RawMessages._fields))
    slots = _slots(state, f"{prefix}slots.") if f"{prefix}slots.mask" in state else None
    return Inputs(state[f"{prefix}rows"], state[f"{prefix}away"], raw, slots)


def _slots(state: State, prefix: str) -> Slots:
    below = None
    if f"{prefix}below.h" in state:
        below = Near(state[f"{prefix}below.h"], _slots(state, f"{prefix}below.slots."))
    return Slots(state[f"{prefix}nodes"], state[f"{prefix}x"], state[f"{prefix}mask"], below)
