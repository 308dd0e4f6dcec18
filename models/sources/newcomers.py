"""What people take for the first time: popularity among newcomers, for items the user does not have yet.

Where users come back to their items, plain popularity counts the same few people over and over; what draws someone who
was not there before is told by how many others have just come for the first time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.decay import DecayClock
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.state import State, gather, scatter
from models.sources.history import DAY_MS, HistorySource
from models.sources.scaling import log_share

HALF_LIVES_MS = {"new_hour": DAY_MS / 24, "new_day": DAY_MS, "new_week": 7 * DAY_MS}
"""By feature."""
_PHRASES = {
    "new_hour": "others have just begun with it",
    "new_day": "many began with it in the last day",
    "new_week": "many began with it this week",
}


class NewcomerSource:
    """Decayed counts of first meetings (user, item) per item, one sum per half-life of :data:`HALF_LIVES_MS`.

    A feature says how an item stands to the one most begun with, in [0, 1], and is 0 for items that the user had. The
    history must be asked before it observes a batch, so it has to stand behind this source in the engine's list.
    """

    name = "newcomers"
    features = tuple(Feature(name, Signal.RAISES) for name in HALF_LIVES_MS)

    def __init__(self, history: HistorySource, propose: int = 20) -> None:
        self._history, self._propose = history, propose
        self._clocks = {name: DecayClock(half_life) for name, half_life in HALF_LIVES_MS.items()}
        self._sums = {name: Growable((), torch.float64) for name in HALF_LIVES_MS}
        self.grow(1, 1)

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        for table in self._sums.values():
            table.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        for table in self._sums.values():
            table.truncate(items)

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The items most people began with over the last days, the same for everyone."""
        sums = self._sums["new_day"].view[1:]
        if not sums.shape[0]:
            return torch.zeros(len(queries), 1, dtype=torch.int64)
        best = torch.topk(sums, min(self._propose, sums.shape[0])).indices + 1
        return best.unsqueeze(0).expand(len(queries), -1)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """One value per half-life, relative to the item most begun with (see :mod:`models.sources.scaling`)."""
        scaled = log_share(torch.stack([table.view for table in self._sums.values()], dim=1))
        new = ~self._history.had(queries.users, items, queries.earlier)
        return scaled.to(torch.float32)[items] * new.unsqueeze(2)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count each positive event in which a user takes an item never taken before."""
        had = self._history.had(batch.users, batch.items.unsqueeze(1), batch.earlier)[:, 0]
        new = batch.positive & ~had
        for name, clock in self._clocks.items():
            sums = self._sums[name].view
            factor = clock.due(batch.ts)
            if factor != 1:
                sums *= factor
            sums.index_add_(0, batch.items[new], clock.weight(batch.ts[new]))

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Say how lately others began with the item."""
        return [_PHRASES[cause.feature] for cause in causes]

    def forget_user(self, user: int) -> None:
        """Sums hold no user."""

    def state(self) -> State:
        """Sums and clocks."""
        return {f"sum.{name}": table.view for name, table in self._sums.items()} | gather(self._clocks)

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, table in self._sums.items():
            table.replace(state[f"sum.{name}"])
        scatter(self._clocks, state)
