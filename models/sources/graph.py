"""Items near the user's temporal graph embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Encoder, Queries
from dyngraph.state import State
from models.sources.likelihood import described, likelihood_features, nearest


class GraphSource:
    """Dot products of user embedding and item vectors, by the encoder's own measure."""

    name = "graph"
    features = likelihood_features("graph")

    def __init__(self, encoder: Encoder, propose: int = 60) -> None:
        self._encoder, self._propose = encoder, propose

    def grow(self, users: int, items: int) -> None:
        """All rows are the encoder's."""

    def truncate(self, users: int, items: int) -> None:
        """All rows are the encoder's."""

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The nearest items of the whole catalogue."""
        return nearest(self.logits(graph, queries), self._propose)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """See :func:`models.sources.likelihood.described`."""
        return described(self.logits(graph, queries), items)

    def logits(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """``[U, items]``"""
        memo = queries.memo.get(self.name)
        if memo is None:
            vectors = self._encoder.item_vectors
            memo = queries.memo[self.name] = queries.vectors @ vectors.T / math.sqrt(vectors.shape[1])
        return memo

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """The encoder's commit does it."""

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Say how much of the user the embedding has seen."""
        events = graph.users.events[queries.users].tolist()
        known = "near you in the interaction graph, after {} events of yours"
        new = "likely for someone new, by the interaction graph"
        return [known.format(events[cause.query]) if events[cause.query] else new for cause in causes]

    def forget_user(self, user: int) -> None:
        """Nothing of its own."""

    def state(self) -> State:
        """Nothing of its own."""
        return {}

    def load_state(self, state: State) -> None:
        """Nothing of its own."""
