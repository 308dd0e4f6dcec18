"""The part of the step that changes the graph: apply, learn, commit. Engine, training and benchmarks go through it."""

from __future__ import annotations

from typing import NamedTuple

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.order import Moment
from dyngraph.protocols import Encoder, EncoderPlan


class Advance(NamedTuple):
    """One planned change of the graph. Making it may fail and changes nothing; :meth:`write` must not fail."""

    graph: DynamicGraph
    encoder: Encoder
    batch: EventBatch
    plan: EncoderPlan

    def write(self) -> float | None:
        """Write the update, if one was learned, then the batch; returns the loss before the update."""
        update = self.plan.update
        if update is not None:
            update.apply()
        self.encoder.commit(self.graph, self.batch, self.plan)
        self.graph.events += len(self.batch)
        self.graph.advance([Moment(int(self.batch.ts[-1]), int(self.batch.seq[-1]))])
        return None if update is None else update.loss


def advance(
    graph: DynamicGraph, encoder: Encoder, batch: EventBatch, *, learn: bool = False, seed: int = 0
) -> float | None:
    """Take one batch of admitted rows; returns the loss if an update was learned. An empty batch changes nothing.

    Raises :class:`dyngraph.batch.BadBatch` for rows that the graph does not have and features of another width.
    """
    if not len(batch):
        return None
    users, items = graph.sizes()
    batch.check_fits(users, items, graph.edge_dim)
    encoder.grow(users, items)
    return Advance(graph, encoder, batch, encoder.plan(graph, batch, learn=learn, seed=seed)).write()
