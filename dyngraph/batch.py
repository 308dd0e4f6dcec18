"""A step's events as columns of rows and numbers, in ``(ts, seq)`` order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.arrays import Array, Arrays, Runs
from dyngraph.earlier import Earlier
from dyngraph.events import MAX_TS_MS, NEGATIVE, POSITIVE, EventType, Interaction

POSITIVE_TYPES = torch.tensor([value in POSITIVE for value in range(max(EventType) + 1)])
"""Look-up ``[types]``: whether an event type says that the user wants the item."""
NEGATIVE_TYPES = torch.tensor([value in NEGATIVE for value in range(max(EventType) + 1)])
"""Look-up ``[types]``: whether an event type lowers the item for the user."""


MAX_SEQ = 2**53
"""First refused place in a log: sources keep places as float64, which counts exactly up to here."""


class BadBatch(ValueError):
    """Raised for events that no step can take; names the event, the rule and the fix. Nothing has changed then."""


class BatchArrays(NamedTuple):
    """The columns of a batch as arrays of the graph's kind, and both ends grouped by node."""

    users: Array
    items: Array
    types: Array
    ts: Array
    seq: Array
    edges: Array
    """``[B, 1 + E]`` what edges carry beside their type: the value (log-scaled, sign kept) and the features."""
    by_user: Runs
    by_item: Runs


@dataclass(frozen=True)
class EventBatch:
    """Columns ``[B]``, sorted by ``(ts, seq)``; users and items are rows of their tables (0: not there yet)."""

    users: Tensor
    items: Tensor
    types: Tensor
    """int64 :class:`EventType`."""
    values: Tensor
    """float32, 0 where the event has none."""
    ts: Tensor
    """int64 ms."""
    seq: Tensor
    """int64 place in the shard's log."""
    features: Tensor | None = None
    """``[B, E]`` float32 edge features, if the graph has any."""

    @classmethod
    def checked(
        cls,
        users: Tensor,
        items: Tensor,
        types: Tensor,
        values: Tensor,
        ts: Tensor,
        seq: Tensor,
        features: Tensor | None = None,
    ) -> EventBatch:
        """A batch made from columns that did not come through :class:`Columns`: replayed arrays, generated streams.

        Raises :class:`BadBatch` for columns of different length, rows below 1, unknown types, times outside
        ``0 … MAX_TS_MS - 1``, an order other than ``(ts, seq)``, values or features that are not finite.
        """
        batch = cls(users, items, types, values, ts, seq, features)
        batch._check()
        return batch

    def _check(self) -> None:
        lengths = {len(column) for column in (self.users, self.items, self.types, self.values, self.ts, self.seq)}
        if self.features is not None:
            lengths.add(len(self.features))
        if len(lengths) > 1:
            raise BadBatch(f"the columns of a batch have {sorted(lengths)} entries; give every event one entry in each")
        known = torch.zeros(max(EventType) + 1, dtype=torch.bool)
        known[list(EventType)] = True
        typed = (self.types >= 0) & (self.types <= max(EventType))
        typed &= known[self.types.clamp(0, max(EventType))]
        self._refuse(self.users < 1, "user row below 1; row 0 is the null node: admit the id first")
        self._refuse(self.items < 1, "item row below 1; row 0 is the null node: admit the id first")
        self._refuse(~typed, f"an unknown event type; use 1 to {max(EventType)}")
        self._refuse(
            (self.ts < 0) | (self.ts >= MAX_TS_MS), f"a time outside 0 … {MAX_TS_MS - 1}; times are milliseconds UTC"
        )
        self._refuse(
            (self.seq < 0) | (self.seq >= MAX_SEQ), f"a seq outside 0 … {MAX_SEQ - 1}; seq is the place in the log"
        )
        self._refuse(~torch.isfinite(self.values), "a value that is not finite; leave it out, or send a number")
        if self.features is not None:
            finite = torch.isfinite(self.features).all(1)
            self._refuse(~finite, "features that are not finite; send numbers only")
        earlier = (self.ts[1:] < self.ts[:-1]) | ((self.ts[1:] == self.ts[:-1]) & (self.seq[1:] <= self.seq[:-1]))
        backwards = torch.cat((earlier.new_zeros(1), earlier))[: len(self)]
        self._refuse(backwards, "a moment not after its predecessor's; sort a batch by (ts, seq)")

    def check_fits(self, users: int, items: int, edge_dim: int) -> None:
        """Raise :class:`BadBatch` unless rows are below the tables' lengths and features as wide as the graph's.

        Rows on a GPU are not looked at, since that would wait for it.
        """
        width = 0 if self.features is None else self.features.shape[1]
        if width != edge_dim:
            raise BadBatch(
                f"event 0 of the batch (seq {int(self.seq[0])}) has {width} features, this graph takes {edge_dim}; "
                "give each event that many, or build the graph with another edge_dim"
            )
        for rows, length, side in ((self.users, users, "user"), (self.items, items, "item")):
            if rows.device.type == "cpu" and rows.numpy().max() >= length:
                self._refuse(rows >= length, f"a {side} row beyond the {length} there are; admit the id first")

    def _refuse(self, wrong: Tensor, what: str) -> None:
        if bool(wrong.any()):
            place = int(wrong.nonzero()[0, 0])
            raise BadBatch(f"event {place} of the batch (seq {int(self.seq[place])}) has {what}")

    def __len__(self) -> int:
        return int(self.users.shape[0])

    @cached_property
    def positive(self) -> Tensor:
        """``[B]`` bool: views, clicks, carts, purchases, ratings, likes."""
        return POSITIVE_TYPES.to(self.types.device)[self.types]

    @cached_property
    def negative(self) -> Tensor:
        """``[B]`` bool: dislikes and removals."""
        return NEGATIVE_TYPES.to(self.types.device)[self.types]

    @cached_property
    def earlier(self) -> Earlier:
        """For each event, what its user did earlier in the batch. Users without a row are all one: admit them first."""
        return self.earlier_of(self.users.numpy())

    def earlier_of(self, people: NDArray[np.int64]) -> Earlier:
        """The same, where ``people [B]`` tells users apart."""
        sign = self.positive.numpy().astype(np.int8) - self.negative.numpy().astype(np.int8)
        return Earlier.of(people, self.items.numpy(), self.ts.numpy(), self.seq.numpy(), sign)

    def arrays(self, xp: Arrays) -> BatchArrays:
        """The columns as ``xp`` wants them."""
        users, items, values = xp.of(self.users), xp.of(self.items), xp.of(self.values)
        scaled = xp.log1p(abs(values))
        edges = xp.where(values < 0, -scaled, scaled)[:, None]
        if self.features is not None:
            edges = xp.join((edges, xp.of(self.features)))
        return BatchArrays(
            users,
            items,
            xp.of(self.types),
            xp.of(self.ts),
            xp.of(self.seq),
            edges,
            xp.runs(users),
            xp.runs(items),
        )


class Columns:
    """Interactions with their seq, sorted, before ids became rows.

    Raises :class:`BadBatch`, which names the event, for an id that is empty or no UTF-8, a time outside ``0 …
    MAX_TS_MS - 1``, a seq outside ``0 … MAX_SEQ - 1`` or given twice, a value that is not a finite float32, features of
    another width than ``edge_dim`` or not finite.
    """

    def __init__(self, events: Sequence[tuple[int, Interaction]], edge_dim: int = 0) -> None:
        self._events = sorted(events, key=lambda event: (event[1].ts, event[0]))
        self.users = [event.user_id for _, event in self._events]
        self.items = [event.item_id for _, event in self._events]
        for names, end in ((self.users, "user_id"), (self.items, "item_id")):
            self._refuse([not _storable(name) for name in names] if _suspect(names) else [], f"no usable {end}")
        ts, seq = [event.ts for _, event in self._events], [seq for seq, _ in self._events]
        if ts and not 0 <= ts[0] <= ts[-1] < MAX_TS_MS:
            wrong = f"a time outside 0 … {MAX_TS_MS - 1}; times are milliseconds UTC"
            self._refuse([not 0 <= one < MAX_TS_MS for one in ts], wrong)
        if seq and not 0 <= min(seq) <= max(seq) < MAX_SEQ:
            self._refuse([not 0 <= one < MAX_SEQ for one in seq], f"a place in the log outside 0 … {MAX_SEQ - 1}")
        if len(set(seq)) < len(seq):
            twice = [one in seq[:place] for place, one in enumerate(seq)]
            self._refuse(twice, "the same place in the log as another; give every event a seq of its own")
        self.types = torch.tensor([event.event_type for _, event in self._events], dtype=torch.int64)
        self.ts, self.seq = torch.tensor(ts, dtype=torch.int64), torch.tensor(seq, dtype=torch.int64)
        self.values = torch.tensor([event.value or 0.0 for _, event in self._events], dtype=torch.float32)
        if not bool(torch.isfinite(self.values).all()):
            self._refuse((~torch.isfinite(self.values)).tolist(), "a value that is not a finite float32; leave it out")
        self.features = self._features(edge_dim)

    def __len__(self) -> int:
        return len(self.users)

    def _features(self, width: int) -> Tensor | None:
        """``[B, width]``; events without features get zeros."""
        given = [event.features for _, event in self._events]
        self._refuse(
            [one is not None and len(one) != width for one in given],
            f"features of another width than this graph's {width}; send that many, or build it with another edge_dim",
        )
        if not width:
            return None
        rows = torch.tensor([one or (0.0,) * width for one in given], dtype=torch.float32)
        bad = ~torch.isfinite(rows).all(1)
        if bool(bad.any()):
            self._refuse(bad.tolist(), "features that are not finite float32 numbers; send numbers only")
        return rows

    def _refuse(self, wrong: list[bool], what: str) -> None:
        if True in wrong:
            seq, event = self._events[wrong.index(True)]
            raise BadBatch(f"event {event.event_id!r} (seq {seq}) has {what}")


def _suspect(names: list[str]) -> bool:
    """Whether one of ``names`` may be unusable; answers for the whole batch at once, since hardly any ever is."""
    return not all(names) or not "".join(names).isascii()


def _storable(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
