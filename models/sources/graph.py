"""Items near the user's temporal graph embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Encoder, Feature, Queries, Signal
from dyngraph.state import State


class GraphSource:
    """Dot products of user embedding and item vectors, by the encoder's own measure."""

    name = "graph"
    features = (
        Feature("graph_likelihood", Signal.RAISES),
        Feature("graph_log_likelihood", Signal.RAISES),
        Feature("graph_nearness", Signal.RAISES),
    )

    def __init__(self, encoder: Encoder, propose: int = 60) -> None:
        self._encoder, self._propose = encoder, propose

    def grow(self, users: int, items: int) -> None:
        """All rows are the encoder's."""

    def truncate(self, users: int, items: int) -> None:
        """All rows are the encoder's."""

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The nearest items of the whole catalogue."""
        scores = self._scores(queries)[:, 1:]
        if not scores.shape[1]:
            return torch.zeros(len(queries), 1, dtype=torch.int64)
        return torch.topk(scores, min(self._propose, scores.shape[1]), dim=1).indices + 1

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Likelihood relative to the likeliest candidate, plain and as a logarithm (down to e^-8), and nearness scaled
        to the candidates; all in [0, 1].
        """
        valid = items > 0
        logits = self._scores(queries).gather(1, items)
        top = logits.masked_fill(~valid, -torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        low = logits.masked_fill(~valid, torch.inf).amin(1, keepdim=True).nan_to_num(posinf=0.0)
        behind = (logits - top).clamp(-8, 0)
        nearness = (logits - low) / (top - low).clamp(min=1e-6)
        return torch.stack((torch.exp(behind), 1 + behind / 8, nearness), dim=2) * valid.unsqueeze(2)

    def _scores(self, queries: Queries) -> Tensor:
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
