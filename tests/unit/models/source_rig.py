"""One candidate source over a bare graph: no encoder, so thousands of events cost little."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dyngraph.batch import Columns
from dyngraph.events import Interaction
from dyngraph.graph import DynamicGraph
from dyngraph.order import Moment
from dyngraph.protocols import Cause, Queries, Source


class SourceRig:
    """Takes events as the engine does: the source observes first, then those in ``after``, then edges are inserted."""

    def __init__(self, source: Source, k: int = 10, after: Sequence[Source] = ()) -> None:
        self.graph, self.source, self.sources = DynamicGraph(2, k), source, (source, *after)

    def step(self, events: Sequence[tuple[int, Interaction]]) -> None:
        graph = self.graph
        batch = graph.admit(Columns(events))
        for source in self.sources:
            source.grow(*graph.sizes())
        for source in self.sources:
            source.observe(graph, batch)
        columns = batch.arrays(graph.arrays)
        edge = (columns.ts, columns.seq, columns.types, columns.edges)
        graph.users.neighbours.insert(columns.users, columns.by_user, columns.items, *edge)
        graph.items.neighbours.insert(columns.items, columns.by_item, columns.users, *edge)
        graph.users.met(columns.by_user, columns.ts[columns.by_user.last])
        graph.items.met(columns.by_item, columns.ts[columns.by_item.last])
        graph.advance(Moment(int(ts), int(seq)) for ts, seq in zip(batch.ts, batch.seq, strict=True))

    def queries(self, user: str, later_ms: int = 0) -> Queries:
        rows = self.graph.user_ids.find([user])
        at = self.graph.horizon.next()
        return Queries(rows, torch.tensor([at.ts + later_ms]), torch.tensor([at.seq]), torch.zeros(1, self.graph.dim))

    def features(self, user: str, later_ms: int = 0) -> dict[str, dict[str, float]]:
        """Item → feature → value, for all items."""
        items = torch.arange(1, len(self.graph.item_ids)).unsqueeze(0)
        values = self.source.describe(self.graph, self.queries(user, later_ms), items)[0].tolist()
        names = [feature.name for feature in self.source.features]
        return {
            self.graph.item_ids[row]: dict(zip(names, row_values, strict=True))
            for row, row_values in enumerate(values, start=1)
        }

    def proposed(self, user: str) -> set[str]:
        rows = self.source.propose(self.graph, self.queries(user))[0].tolist()
        return {self.graph.item_ids[row] for row in rows if row}

    def explain(self, user: str, item: str, feature: str) -> str:
        queries = self.queries(user)
        row = int(self.graph.item_ids.find([item])[0])
        return self.source.explain(self.graph, queries, [Cause(0, row, feature)])[0]
