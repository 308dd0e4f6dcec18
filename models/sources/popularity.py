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

DAY_MS = 86_400_000.0
_MONTH = math.log1p(30 * DAY_MS / 1000)
"""Log seconds of a month."""


class PopularitySource:
    """Counts of positive events per item; a removal takes one back.

    ``short`` and ``long`` are half-lives in ms; ``short`` follows trends, ``long`` is the decayed-popularity baseline.
    ``propose`` of each are proposed; None proposes the whole catalogue, for catalogues small enough to rank in full.
    """

    name = "popularity"
    features = (
        Feature("trending", Signal.RAISES),
        Feature("popular", Signal.RAISES),
        Feature("just_taken", Signal.RAISES),
    )

    def __init__(self, short_ms: float = DAY_MS, long_ms: float = 7 * DAY_MS, propose: int | None = 40) -> None:
        self._propose = propose
        self._clocks = {"short": DecayClock(short_ms), "long": DecayClock(long_ms)}
        self._sums = {name: Growable((), torch.float64) for name in self._clocks}
        self._count = Growable((), torch.float64)
        self._best: Tensor | None = None
        """What is proposed, until counts or the catalogue change."""
        self.grow(1, 1)

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._best = None
        for table in (self._count, *self._sums.values()):
            table.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._best = None
        for table in (self._count, *self._sums.values()):
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
                tables, most = self._sums.values(), min(self._propose, items)
                self._best = torch.cat([torch.topk(table.view[1:], most).indices + 1 for table in tables])
        return self._best.unsqueeze(0).expand(len(queries), -1)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Short and long popularity relative to the most popular item, log-scaled; how lately anyone took the item,
        falling with the logarithm of that time from 1 (within a second) to 0 (a month or more, or never).
        """
        columns = []
        for table in self._sums.values():
            top = table.view.max().clamp(min=1e-300)
            columns.append(torch.log1p(99 * (table.view / top).clamp(min=0)) / 4.605170185988092)
        last = graph.items.last_ts[items]
        age = (queries.ts.unsqueeze(1) - last).clamp(min=0).to(torch.float64)
        lately = (1 - torch.log1p(age / 1000) / _MONTH).clamp(min=0) * (last >= 0)
        return torch.stack([*(column[items] for column in columns), lately], dim=2).to(torch.float32)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count positives, take removals back, never below zero."""
        self._best = None
        sign = batch.positive.to(torch.float64) - batch.negative.to(torch.float64)
        self._count.view.index_add_(0, batch.items, sign).clamp_(min=0)
        for name, clock in self._clocks.items():
            sums = self._sums[name].view
            sums *= clock.due(batch.ts)
            sums.index_add_(0, batch.items, sign * clock.weight(batch.ts)).clamp_(min=0)

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Say over which span the item is popular."""
        spans = {
            "trending": "taken by many in the last day",
            "popular": "popular this week",
            "just_taken": "someone took it a moment ago",
        }
        return [spans[cause.feature] for cause in causes]

    def forget_user(self, user: int) -> None:
        """Counts hold no user."""

    def state(self) -> State:
        """Counts and decayed sums."""
        sums = {f"sum.{name}": table.view for name, table in self._sums.items()}
        return {"count": self._count.view} | sums | gather(self._clocks)

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._best = None
        self._count.replace(state["count"])
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
