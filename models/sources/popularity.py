"""What everybody takes: all-time and decayed popularity, as a source and as the baselines of every report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.decay import DecayClock
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.state import State, gather, scatter
from models.sources.scaling import log_share

DAY_MS = 86_400_000.0
_MONTH = math.log1p(30 * DAY_MS / 1000)
"""Log seconds of a month."""
_PHRASES = {
    "popular_hour": "taken by many in the last hour",
    "trending": "taken by many in the last day",
    "popular": "popular this week",
    "popular_month": "popular this month",
    "popular_year": "popular over the year",
    "popular_always": "popular since the beginning",
    "just_taken": "someone took it a moment ago",
    "new": "new here",
}


class PopularitySource:
    """Counts of positive events per item; a removal takes one back.

    ``short`` and ``long`` are half-lives in ms; ``short`` follows trends, ``long`` is the decayed-popularity baseline.
    Three fixed ones (an hour, a month, a year) stand beside them, so that a trend shows as a difference.
    ``propose`` of the short and the long one are proposed; None proposes the whole catalogue, for catalogues small
    enough to rank in full.
    """

    name = "popularity"
    features = (
        Feature("popular_hour", Signal.RAISES),
        Feature("trending", Signal.RAISES),
        Feature("popular", Signal.RAISES),
        Feature("popular_month", Signal.RAISES),
        Feature("popular_year", Signal.RAISES),
        Feature("popular_always", Signal.RAISES),
        Feature("just_taken", Signal.LEARNED),
        Feature("new", Signal.LEARNED),
    )

    def __init__(self, short_ms: float = DAY_MS, long_ms: float = 7 * DAY_MS, propose: int | None = 40) -> None:
        self._propose = propose
        half_lives = {
            "hour": DAY_MS / 24,
            "short": short_ms,
            "long": long_ms,
            "month": 30 * DAY_MS,
            "year": 365 * DAY_MS,
        }
        self._clocks = {name: DecayClock(half_life) for name, half_life in half_lives.items()}
        self._sums = {name: Growable((), torch.float64) for name in self._clocks}
        self._count = Growable((), torch.float64)
        self._first = Growable((), torch.int64, fill=-1)
        """Time of the item's first event, -1 before."""
        self._best: Tensor | None = None
        """What is proposed, until counts or the catalogue change."""
        self.grow(1, 1)

    def _tables(self) -> list[Growable]:
        return [self._count, self._first, *self._sums.values()]

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._best = None
        for table in self._tables():
            table.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._best = None
        for table in self._tables():
            table.truncate(items)

    def counts(self) -> Tensor:
        """``[items]`` all-time counts."""
        return self._count.view

    def decayed(self) -> Tensor:
        """``[items]`` sums under the long half-life; their order is that of decayed popularity at any time."""
        return self._sums["long"].view

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The most popular items, the same for everyone."""
        if len(self._count) <= 1:
            return torch.zeros(len(queries), 1, dtype=torch.int64)
        if self._best is None:
            items = len(self._count) - 1
            if self._propose is None:
                self._best = torch.arange(1, items + 1)
            else:
                tables, most = (self._sums["short"], self._sums["long"]), min(self._propose, items)
                self._best = torch.cat([torch.topk(table.view[1:], most).indices + 1 for table in tables])
        return self._best.unsqueeze(0).expand(len(queries), -1)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Popularity on six time scales (see :mod:`models.sources.scaling`); how lately anyone took the item, falling
        with the logarithm of that time from 1 (within a second) to 0 (a month or more, or never); and how lately it
        first appeared, falling from 1 with the logarithm of the days since (0 after five months).
        """
        sums = torch.stack([*(table.view for table in self._sums.values()), self._count.view], dim=1)
        shares = log_share(sums).to(torch.float32)[items]
        ts = queries.ts.unsqueeze(1)
        last, first = graph.items.last_ts[items], self._first.view[items]
        age, life = (ts - last).clamp(min=0).to(torch.float64), (ts - first).clamp(min=0).to(torch.float64)
        lately = (1 - torch.log1p(age / 1000) / _MONTH).clamp(min=0) * (last >= 0)
        new = (1 - torch.log1p(life / DAY_MS) / 5).clamp(min=0) * (first >= 0)
        return torch.cat((shares, torch.stack((lately, new), dim=2).to(torch.float32)), dim=2)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count positives, take removals back, never below zero."""
        self._best = None
        sign = batch.positive.to(torch.float64) - batch.negative.to(torch.float64)
        self._count.view.index_add_(0, batch.items, sign).clamp_(min=0)
        for name, clock in self._clocks.items():
            sums = self._sums[name].view
            factor = clock.due(batch.ts)
            if factor != 1:
                sums *= factor
            sums.index_add_(0, batch.items, sign * clock.weight(batch.ts)).clamp_(min=0)
        first = self._first.view
        unseen = first[batch.items] < 0
        if bool(unseen.any()):
            items, ts = batch.items[unseen], batch.ts[unseen]
            # Written from the last to the first, so that the first one stays.
            first.numpy()[items.numpy()[::-1]] = ts.numpy()[::-1]

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Say over which span the item is popular."""
        return [_PHRASES[cause.feature] for cause in causes]

    def forget_user(self, user: int) -> None:
        """Counts hold no user."""

    def state(self) -> State:
        """Counts, decayed sums and first times."""
        sums = {f"sum.{name}": table.view for name, table in self._sums.items()}
        return {"count": self._count.view, "first": self._first.view} | sums | gather(self._clocks)

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._best = None
        self._count.replace(state["count"])
        self._first.replace(state["first"])
        for name, table in self._sums.items():
            table.replace(state[f"sum.{name}"])
        scatter(self._clocks, state)


class Popularity:
    """Baseline: all-time popularity."""

    name = "popularity"

    def __init__(self, source: PopularitySource) -> None:
        self._source = source

    def scores(self) -> Tensor:
        """``[items]`` counts."""
        return self._source.counts()


class DecayedPopularity:
    """Baseline: popularity with exponential decay."""

    name = "decayed_popularity"

    def __init__(self, source: PopularitySource) -> None:
        self._source = source

    def scores(self) -> Tensor:
        """``[items]`` decayed sums."""
        return self._source.decayed()
