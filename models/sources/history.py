"""The user's own past: what they had, how often, how lately, in which rhythm of baskets, and what they refused."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.decay import DecayClock
from dyngraph.earlier import Earlier
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.slots import SlotTable
from dyngraph.state import State, gather, scatter
from models.sources import history_kernels as kernels

DAY_MS = 86_400_000.0


class OwnItems(NamedTuple):
    """The n items that one user had, as far as they are remembered, the one visited last at the end."""

    items: NDArray[np.int64]
    """``[n]`` rows."""
    last_ts: NDArray[np.int64]
    """``[n]`` ms of the last visit."""
    weight: NDArray[np.float64]
    """``[n]`` decayed counts."""


class _Asked(NamedTuple):
    """What was prepared for one question."""

    users: Tensor
    earlier: Earlier | None
    scratch: kernels.Rows
    rows: NDArray[np.int64]
    pending: kernels.Pending


class HistorySource:
    """Per user up to ``capacity`` distinct items, fewer where the table would pass ``most_bytes``; the least recent are
    forgotten first.

    Every question takes what the user did earlier in the batch that is being ranked (``earlier``) and answers as if
    those events had been observed already, on a copy of the user's row: the size of a batch changes no answer. A user
    without a row (0) has only those events. An item that has no row yet counts for the user, but is named nowhere; if
    it comes twice in a batch, the second time counts as another item.

    A basket is all positive events of a user at one ts; B is the number of the user's baskets so far, and the item
    was in b of them, first in number f, last in number l. Features of an item that the user had, 0 for all others:

    - ``own_frequency``: log of the decayed count, in [0, 1]; ``own_share``: of the user's events; ``own_seen``: 1;
    - ``own_recency``: 1 / (1 + place) in the order of last visits;
    - ``own_minute``, ``…_hour``, ``…_day``, ``…_week``: 2^(-age / half-life) of the last visit on four scales;
    - ``own_last_basket``, ``own_basket_before``: whether B - l is 0, 1; ``own_basket_recency``: 1 / (1 + B - l);
    - ``own_basket_share``: b / B; ``own_basket_rate``: b / (B - f + 1), the share since the first time;
      ``own_basket_odds``: log((b + .3) / (B - f + 1.5)) / 3, the same, smoothed;
    - ``own_rhythm``: exp(-abs(log((age + 1 h) / (g + 1 h)))) if b > 1, where g is the mean time between its baskets: 1
      when the item is due; ``own_repeated``: whether b > 1;
    - ``own_item_repeats``: log((r + .5) / (n + 2)) / 4, where r of the item's n events, whoever's, were repeats.

    A refusal (dislike, removal) takes one event back from the item's count and lowers the item (``refused``, in [0, 2])
    until the refusal has decayed or the user takes the item again. An item only ever refused, or whose every event was
    taken back, is no item the user had.
    """

    name = "history"
    features = (
        *(
            Feature(f"own_{name}", Signal.LEARNED if name in ("seen", "item_repeats") else Signal.RAISES)
            for name in (
                *("frequency", "recency", "share", "minute", "hour", "day", "week", "seen"),
                *("last_basket", "basket_before", "basket_recency", "basket_share", "basket_rate", "basket_odds"),
                *("rhythm", "repeated", "item_repeats"),
            )
        ),
        Feature("refused", Signal.LOWERS),
    )

    def __init__(
        self,
        half_life_ms: float = 30 * DAY_MS,
        capacity: int = 512,
        propose: int = 60,
        *,
        most_bytes: int = 1024 * 1024 * 1024,
    ) -> None:
        self._propose = propose
        self._clock = DecayClock(half_life_ms)
        self._slots = SlotTable(capacity, kernels.COLUMNS, most_bytes)
        self._people = Growable((kernels.PERSON_COLUMNS,), torch.float64)
        self._items = Growable((2,), torch.float64)
        self._last: _Asked | None = None
        self.grow(1, 1)

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._last = None
        self._slots.grow(users)
        self._people.grow(users)
        self._items.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._last = None
        self._slots.truncate(users)
        self._people.truncate(users)
        self._items.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    def recent(self, users: Tensor, width: int, earlier: Earlier | None = None) -> Tensor:
        """The latest ``width`` distinct items ``[U, W]`` that the users had, newest first, then 0."""
        return self.visits(users, width, earlier)[0]

    def visits(self, users: Tensor, width: int, earlier: Earlier | None = None) -> tuple[Tensor, Tensor]:
        """The same, with the time (ms) ``[U, W]`` of the last visit to each."""
        items, when = kernels.recent(*self._asked(users, earlier), width)
        return torch.from_numpy(items), torch.from_numpy(when)

    def had(self, users: Tensor, items: Tensor, earlier: Earlier | None = None) -> Tensor:
        """``[U, C]`` bool: which of ``items [U, C]`` the users had; an item only ever refused is not among them."""
        return torch.from_numpy(kernels.had(*self._asked(users, earlier), items.contiguous().numpy(), self._places()))

    def own_items(self, user: int, ts: int) -> OwnItems:
        """What user row ``user`` had, with counts decayed to ``ts`` (ms); at most the capacity, whatever was done."""
        values = self._slots.values_array[user]
        slots = np.flatnonzero((self._slots.keys_array[user] > 0) & (values[:, kernels.EVENTS] > 0))
        last_ts, last_seq = values[slots, kernels.LAST_TS], values[slots, kernels.LAST_SEQ]
        order = np.lexsort((last_seq, last_ts))
        slots, last_ts = slots[order], last_ts[order].astype(np.int64)
        weight = values[slots, kernels.DECAYED] * 2.0 ** ((self._clock.base_ms - ts) / self._clock.half_life_ms)
        return OwnItems(self._slots.keys_array[user, slots].astype(np.int64), last_ts, weight)

    def habits(self, users: Tensor, earlier: Earlier | None = None) -> Tensor:
        """``[U, 2]`` float32: share of the user's positive events that were repeats, and log(1 + baskets) / 5."""
        return torch.from_numpy(kernels.habits(*self._asked(users, earlier)))

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The user's items by decayed count, and the latest ones."""
        rows, scratch, users, pending = self._asked(queries.users, queries.earlier)
        most = min(self._propose // 2, scratch.keys.shape[1])
        return torch.from_numpy(kernels.propose(rows, scratch, users, pending, most))

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """The features of the class, per item; what is decayed is so as of the query's moment."""
        asked = self._asked(queries.users, queries.earlier)
        now = self._clock_after(queries.earlier)[0].now(queries.ts).numpy()
        rows, ts = items.contiguous().numpy(), queries.ts.contiguous().numpy()
        return torch.from_numpy(kernels.describe(*asked, self._items.rows, rows, ts, now, self._places()))

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Say how often and when last."""
        query, items = (np.array([getattr(cause, end) for cause in causes], np.int64) for end in ("query", "item"))
        visits = kernels.visits(*self._asked(queries.users, queries.earlier), query, items).tolist()
        return [_visits(int(times), ts) for times, ts in visits]

    def _asked(
        self, users: Tensor, earlier: Earlier | None
    ) -> tuple[kernels.Rows, kernels.Rows, NDArray[np.int64], kernels.Pending]:
        """What every kernel that reads is handed: all rows, room to copy one to, the users, what they did since.

        One ranking asks some ten times alike: the last answer is kept until the table changes.
        """
        if self._last is None or self._last.users is not users or self._last.earlier is not earlier:
            self._last = _Asked(users, earlier, *self._prepared(users, earlier))
        return self._rows(), self._last.scratch, self._last.rows, self._last.pending

    def _prepared(
        self, users: Tensor, earlier: Earlier | None
    ) -> tuple[kernels.Rows, NDArray[np.int64], kernels.Pending]:
        clock, fade = self._clock_after(earlier)
        earlier = earlier or Earlier.none(len(users))
        weight = clock.weight(torch.from_numpy(earlier.ts)).numpy()
        order = np.lexsort((earlier.stop, earlier.start))
        pending = kernels.Pending(*earlier, weight, fade, np.zeros(len(weight), np.bool_), order, np.full(3, -1))
        # Wide enough for all the events, or as wide as the table may become: it evicts what the table would.
        longest = int((earlier.stop - earlier.start).max(initial=0))
        width = self._slots.width
        width = max(width, min(width + longest, self._slots.widest))
        columns = len(kernels.COLUMNS)
        scratch = kernels.Rows(
            np.zeros((1, width), np.int32), np.zeros((1, width, columns)), np.zeros((1, kernels.PERSON_COLUMNS))
        )
        return scratch, users.contiguous().numpy(), pending

    def _rows(self) -> kernels.Rows:
        return kernels.Rows(self._slots.keys_array, self._slots.values_array, self._people.rows)

    def _places(self) -> NDArray[np.int32]:
        return np.zeros(len(self._items), np.int32)

    def _clock_after(self, earlier: Earlier | None) -> tuple[DecayClock, float]:
        """The clock as it will stand when ``earlier`` is observed, and what that will scale all sums by."""
        if earlier is None or not len(earlier.ts):
            return self._clock, 1.0
        clock = copy(self._clock)
        return clock, clock.due(torch.from_numpy(earlier.ts))

    # -- the step ---------------------------------------------------------------------------------------------

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Add positives, take refused ones back, one event after the other."""
        sign = (batch.positive.to(torch.int8) - batch.negative.to(torch.int8)).numpy()
        if not sign.any():
            return
        self._last = None
        self._slots.fit()
        factor = self._clock.due(batch.ts)
        if factor != 1.0:
            self._slots.column("decayed").mul_(factor)
            self._slots.column("refused").mul_(factor)
        slots, weight = self._slots, self._clock.weight(batch.ts).numpy()
        users, items, ts, seq = (column.numpy() for column in (batch.users, batch.items, batch.ts, batch.seq))
        done = 0
        while True:
            done = kernels.learn(
                self._rows(), self._items.rows, users, items, ts, seq, sign, weight, done, slots.may_widen
            )
            if done == len(batch):
                return
            slots.widen()

    def forget_user(self, user: int) -> None:
        """Free the user's slots; the items' counts hold no user."""
        self._last = None
        self._slots.forget_row(user)
        self._people.view[user] = 0

    def state(self) -> State:
        """Slots, counts and clock."""
        counts = {"people": self._people.view, "items": self._items.view}
        return counts | gather({"slots": self._slots, "clock": self._clock})

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._last = None
        self._people.replace(state["people"])
        self._items.replace(state["items"])
        scatter({"slots": self._slots, "clock": self._clock}, state)


def _visits(times: int, last_ts: float) -> str:
    last = datetime.fromtimestamp(last_ts / 1000, UTC)
    often = {1: "once", 2: "twice"}.get(times, f"{times} times")
    return f"you had it {often} before, last on {last:%-d %b %Y}"
