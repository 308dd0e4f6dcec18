"""The user's own recency and frequency: what they had before, how often, how lately, and what they refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.decay import DecayClock
from dyngraph.graph import DynamicGraph
from dyngraph.groups import distinct_pairs
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.slots import SlotTable
from dyngraph.state import State, gather, scatter

DAY_MS = 86_400_000.0
_AGES_MS = torch.tensor((60_000.0, DAY_MS / 24, DAY_MS, 7 * DAY_MS), dtype=torch.float64)
"""Half-lives of the pair's last visit: at once, within the hour, within the day, within the week."""
_MANY = math.log1p(50)
"""Log count at which frequency is as high as it can be."""


class HistorySource:
    """Per user up to ``capacity`` distinct items, the least recent forgotten first.

    Beside counts it tells the age of the pair's last visit on four scales: next to an item's place in the user's order
    of visits, that is what most decides whether someone comes back now. A refusal (dislike, removal) takes one event
    back from the item's count and lowers the item until the refusal has decayed or the user takes the item again.
    """

    name = "history"
    features = (
        Feature("own_frequency", Signal.RAISES),
        Feature("own_recency", Signal.RAISES),
        Feature("own_share", Signal.RAISES),
        Feature("own_minute", Signal.RAISES),
        Feature("own_hour", Signal.RAISES),
        Feature("own_day", Signal.RAISES),
        Feature("own_week", Signal.RAISES),
        Feature("own_seen", Signal.LEARNED),
        Feature("refused", Signal.LOWERS),
    )

    def __init__(self, half_life_ms: float = 30 * DAY_MS, capacity: int = 128, propose: int = 60) -> None:
        self._propose = propose
        self._clock = DecayClock(half_life_ms)
        self._slots = SlotTable(capacity, ("touched", "last_seq", "last_ts", "events", "decayed", "refused"))
        self._slots.grow(1)

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._slots.grow(users)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._slots.truncate(users)

    def seen(self, users: Tensor) -> Tensor:
        """Item rows ``[U, L]`` the users have met, 0 for none."""
        return self._slots.keys[users].to(torch.int64)

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The user's items by decayed count, and the latest ones."""
        keys = self.seen(queries.users)
        n = min(self._propose // 2, keys.shape[1])
        frequent = torch.topk(self._slots.column("decayed")[queries.users], n, dim=1).indices
        latest = torch.topk(self._slots.column("last_seq")[queries.users], n, dim=1).indices
        return keys.gather(1, torch.cat((frequent, latest), dim=1))

    def recent(self, users: Tensor, width: int) -> Tensor:
        """The latest ``width`` distinct items ``[U, W]`` that the users had, newest first, 0 for none."""
        width = min(width, self._slots.keys.shape[1])
        latest = torch.topk(self._latest(users), width, dim=1)
        return self.seen(users).gather(1, latest.indices) * (latest.values > 0)

    def had(self, users: Tensor, items: Tensor) -> Tensor:
        """``[U, C]`` bool: which of ``items [U, C]`` the users had; an item only ever refused is not among them."""
        found, slot = self._find(users, items)
        return found & (self._slots.column("events")[users].gather(1, slot) > 0)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Per item: decayed count (log, in [0, 1]); 1 / (1 + place by recency); share of the user's events;
        ``2^(-age / half-life)`` of the last visit on four scales; had or not; decayed refusals (in [0, 2]).
        """
        users = queries.users
        # Computed per slot, where there are few, and looked up per candidate.
        now = self._clock.now(queries.ts).unsqueeze(1)
        events = self._slots.column("events")[users]
        # An item that was only ever refused, or whose every event was taken back, is no item the user had.
        had = (events > 0).to(torch.float64)
        frequency = (torch.log1p(self._slots.column("decayed")[users] * now) / _MANY).clamp(max=1)
        share = events / events.sum(1, keepdim=True).clamp(min=1)
        age = (queries.ts.unsqueeze(1) - self._slots.column("last_ts")[users]).clamp(min=0)
        ages = torch.exp2(age.unsqueeze(2) / -_AGES_MS) * had.unsqueeze(2)
        refused = self._slots.column("refused")[users] * now
        # One fresh refusal gives 1, and each further one more, so that refusing again never helps an item.
        refused = 2 * refused / (1 + refused)
        left = torch.stack((frequency, had / (1 + self._places(users)), share), dim=2)
        table = torch.cat((left, ages, torch.stack((had, refused), dim=2)), dim=2).to(torch.float32)
        found, slot = self._find(users, items)
        return table[torch.arange(len(queries)).unsqueeze(1), slot] * found.unsqueeze(2)

    def _find(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Whether and in which slot each of ``items [U, C]`` stands."""
        ordered, order = torch.sort(self.seen(users), dim=1)
        place = torch.searchsorted(ordered, items.contiguous()).clamp(max=ordered.shape[1] - 1)
        found = (ordered.gather(1, place) == items) & (items > 0)
        return found, order.gather(1, place)

    def _latest(self, users: Tensor) -> Tensor:
        """``[U, L]`` seq + 1 of the last visit, 0 for an item that the user no longer counts as having had."""
        return self._slots.column("last_seq")[users] * (self._slots.column("events")[users] > 0)

    def _places(self, users: Tensor) -> Tensor:
        """``[U, L]`` 0 for the user's latest item, 1 for the one before, …; only items with events count."""
        order = torch.argsort(self._latest(users), dim=1, descending=True, stable=True)
        places = torch.empty_like(order)
        places.scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
        return places.to(torch.float64)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Add positives, take refused ones back; the last event of a pair in the batch decides its standing."""
        relevant = batch.positive | batch.negative
        if not bool(relevant.any()):
            return
        self._slots.column("decayed").mul_(factor := self._clock.due(batch.ts))
        self._slots.column("refused").mul_(factor)
        users, items, positive = batch.users[relevant], batch.items[relevant], batch.positive[relevant]
        pairs = distinct_pairs(users, items)
        order = torch.arange(users.shape[0])
        last = torch.zeros_like(pairs.left).scatter_reduce_(0, pairs.place, order, "amax")
        seq = batch.seq[relevant][last].to(torch.float64) + 1
        slot = self._slots.slots(pairs.left, pairs.right, priority=seq)
        kept = slot >= 0
        at = (pairs.left[kept], slot[kept])
        sign = positive.to(torch.float64) * 2 - 1
        weight = self._clock.weight(batch.ts[relevant])

        def total(values: Tensor) -> Tensor:
            return torch.zeros(pairs.left.shape[0], dtype=torch.float64).index_add_(0, pairs.place, values)[kept]

        events, decayed = self._slots.column("events"), self._slots.column("decayed")
        events[at] = (events[at] + total(sign)).clamp(min=0)
        decayed[at] = (decayed[at] + total(sign * weight)).clamp(min=0)
        wanted = positive[last][kept]
        refused = self._slots.column("refused")
        refused[at] = torch.where(wanted, 0.0, refused[at] + total((sign < 0) * weight))
        # A refusal is no visit, so recency stays; but it is as fresh as anything when slots run out.
        self._slots.column("touched")[at] = seq[kept]
        for name, value in (
            ("last_seq", seq[kept]),
            ("last_ts", batch.ts[relevant][last][kept].to(torch.float64)),
        ):
            column = self._slots.column(name)
            column[at] = torch.where(wanted, value, column[at])

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Say how often and when last."""
        users = queries.users[torch.tensor([cause.query for cause in causes])]
        items = torch.tensor([cause.item for cause in causes]).unsqueeze(1)
        slot = (self._slots.keys[users] == items).int().argmax(1)
        events, last = (self._slots.column(name)[users, slot].tolist() for name in ("events", "last_ts"))
        return [_visits(int(times), ts) for times, ts in zip(events, last, strict=True)]

    def forget_user(self, user: int) -> None:
        """Free the user's slots."""
        self._slots.forget_row(user)

    def state(self) -> State:
        """Slots and clock."""
        return gather({"slots": self._slots, "clock": self._clock})

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        scatter({"slots": self._slots, "clock": self._clock}, state)


def _visits(times: int, last_ts: float) -> str:
    last = datetime.fromtimestamp(last_ts / 1000, UTC)
    often = {1: "once", 2: "twice"}.get(times, f"{times} times")
    return f"you had it {often} before, last on {last:%-d %b %Y}"
