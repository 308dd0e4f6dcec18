"""Training examples as they were before their own events touched the graph.

Learning on every small step would cost more than serving it, so the inputs of embeddings are captured when an event
is ranked and learned from once enough events have come together. Captured inputs cannot leak: they hold the memory,
messages and neighbours of the moment before the event, however much later the gradient is computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from dyngraph.neighbours import Neighbourhood
from dyngraph.nodes import RawMessages
from dyngraph.state import State

T = TypeVar("T", bound=tuple)  # type: ignore[type-arg]


class Inputs(NamedTuple):
    """All that an embedding of n nodes is computed from, except learned weights."""

    rows: Tensor
    """``[n]`` rows of the nodes."""
    ts: Tensor
    """``[n]`` query times, ms."""
    raw: RawMessages
    near: Neighbourhood
    near_h: Tensor
    """``[n, K, d]`` vectors of the neighbours."""


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


def joined(left: T, right: T) -> T:
    """Two structures of tensors, one after the other along the first dimension."""
    return type(left)(
        *(torch.cat((a, b)) if isinstance(a, Tensor) else joined(a, b) for a, b in zip(left, right, strict=True))
    )


def flat(whole: Any, prefix: str = "") -> State:
    """A structure of tensors as a state; names follow the fields."""
    state: State = {}
    for name, part in zip(whole._fields, whole, strict=True):
        state |= {f"{prefix}{name}": part} if isinstance(part, Tensor) else flat(part, f"{prefix}{name}.")
    return state


class ExampleBuffer:
    """Examples that wait to be learned from."""

    def __init__(self) -> None:
        self._waiting: Examples | None = None

    def __len__(self) -> int:
        return 0 if self._waiting is None else self._waiting.events

    def with_(self, more: Examples) -> Examples:
        """What waits, and ``more`` after it; the buffer stays as it is."""
        if self._waiting is None:
            return more
        users, items = self._waiting.users.rows.shape[0], self._waiting.items.rows.shape[0]
        return joined(self._waiting, more._replace(query=more.query + users, item=more.item + items))

    def keep(self, examples: Examples | None) -> None:
        """Let ``examples`` be what waits."""
        self._waiting = examples

    def forget_user(self, user: int) -> None:
        """Drop all examples of one user, and the user from the neighbours of items."""
        if self._waiting is None:
            return
        users, items, query, item, wanted = self._waiting
        kept = users.rows[query] != user
        # Inputs of dropped events keep their places until the next update, but nothing of the user stays in them.
        others = (users.rows != user).unsqueeze(1)
        raw = users.raw._replace(own=users.raw.own * others, other=users.raw.other * others)
        near = users.near._replace(nodes=users.near.nodes * others, mask=users.near.mask & others)
        near_h = users.near_h * others.unsqueeze(2)
        users = users._replace(rows=users.rows * others[:, 0], raw=raw, near=near, near_h=near_h)
        elsewhere = items.near.nodes != user
        near = items.near._replace(nodes=items.near.nodes * elsewhere, mask=items.near.mask & elsewhere)
        items = items._replace(near=near, near_h=items.near_h * elsewhere.unsqueeze(2))
        self._waiting = Examples(users, items, query[kept], item[kept], wanted[kept])

    def state(self) -> State:
        """What waits, if anything does."""
        return {} if self._waiting is None else flat(self._waiting)

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._waiting = _restored(state) if state else None


def _restored(state: State) -> Examples:
    def inputs(prefix: str) -> Inputs:
        raw = RawMessages(*(state[f"{prefix}.raw.{name}"] for name in RawMessages._fields))
        near = Neighbourhood(*(state[f"{prefix}.near.{name}"] for name in Neighbourhood._fields))
        return Inputs(state[f"{prefix}.rows"], state[f"{prefix}.ts"], raw, near, state[f"{prefix}.near_h"])

    return Examples(inputs("users"), inputs("items"), state["query"], state["item"], state["wanted"])
