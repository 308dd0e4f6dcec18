"""This engine as the benchmarks drive it: rows from columns, embeddings at event times, ``advance`` for every batch.

Sizes are those of the ``tgn`` preset, which serves: memory and embeddings of width 64, 32 time frequencies, ten
neighbours, two heads. All ids are admitted before the clock starts, as the peer's number of nodes is fixed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dyngraph.advance import advance
from dyngraph.arrays import NUMPY, Arrays, TorchArrays
from dyngraph.batch import EventBatch
from dyngraph.events import EventType
from dyngraph.graph import DynamicGraph
from evaluation.link_prediction import Scores, Split, rank, report
from evaluation.readers.edges import EdgeLog, Ints
from models.tgn import TGN, fit, preset

SAME_WORK: dict[str, Any] = {"loss": "bpr", "learn_events": 1, "replay": 0}
"""What the peer does per batch: one negative per event, one step of the optimiser, nothing learned twice."""


@dataclass(frozen=True)
class Asked:
    """A batch with what is embedded before it: its users, then its items and one other item per event."""

    batch: EventBatch
    items: Tensor
    """``[2B]``"""
    items_ts: Tensor
    items_seq: Tensor


class OurTGN:
    """One encoder with its graph; user and item 0 of a log are row 1 of their tables.

    ``settings`` are those of :class:`models.tgn.TGNConfig` and win over sizes and :data:`SAME_WORK`.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        features: int,
        capacity: int | None = None,
        *,
        device: str = "cpu",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        del capacity  # edges live in the neighbours' rings; nothing is kept per event
        self.n_users, self.n_items = n_users, n_items
        self.device = torch.device(device)
        sizes = {"edge_dim": features}
        self.config = preset("tgn", seed=seed, **{**sizes, **SAME_WORK, **settings})
        arrays: Arrays = NUMPY if device == "cpu" else TorchArrays(device, fixed_shapes=True)
        self.encoder = TGN(self.config, arrays, self.device)
        self.graph = self.empty_graph()
        self._seed = seed

    def empty_graph(self) -> DynamicGraph:
        """A graph without events that knows all ids."""
        graph = self.encoder.graph()
        graph.user_ids.add([f"u{place}" for place in range(self.n_users)])
        graph.item_ids.add([f"i{place}" for place in range(self.n_items)])
        users, items = graph.sizes()
        graph.users.grow(users)
        graph.items.grow(items)
        self.encoder.grow(users, items)
        return graph

    def batch(self, edges: EdgeLog) -> EventBatch:
        """Edges ``[B]`` as views of pages."""
        n = len(edges)
        columns = (
            torch.from_numpy(edges.users) + 1,
            torch.from_numpy(edges.items) + 1,
            torch.full((n,), int(EventType.VIEW)),
            torch.zeros(n),
            torch.from_numpy(edges.ts),
            torch.from_numpy(edges.seq),
        )
        features = torch.from_numpy(edges.features) if self.config.edge_dim else None
        return EventBatch.checked(*columns, features)

    def prepare(self, batch: EdgeLog, negatives: Ints) -> Asked:
        """A batch and what to embed before it."""
        events = self.batch(batch)
        others = torch.from_numpy(negatives) + 1
        return Asked(events, torch.cat((events.items, others)), events.ts.repeat(2), events.seq.repeat(2))

    def train_mode(self, on: bool) -> None:
        """Nothing: there is one way through the code."""

    def warm(self, asked: Asked) -> None:
        """Take in a batch."""
        advance(self.graph, self.encoder, asked.batch)

    def update_embed(self, asked: Asked) -> tuple[Tensor, Tensor]:
        """Vectors ``[B, 100]`` of users and ``[2B, 100]`` of items at their events' times; then the batch."""
        batch = asked.batch
        users = self.encoder.embed(self.graph, batch.users, batch.ts, batch.seq)
        items = self.encoder.embed_items(self.graph, asked.items, asked.items_ts, asked.items_seq)
        advance(self.graph, self.encoder, batch)
        return users, items

    def train(self, asked: Asked) -> float | None:
        """One learning step against one drawn item per event, and the update."""
        self._seed += 1
        return advance(self.graph, self.encoder, asked.batch, learn=True, seed=self._seed)

    # What follows is the protocol of evaluation.link_prediction.

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Scores:
        """``[n, n_items]``: users at their own times, items at the newest of them, all before the first of them."""
        before = torch.full((len(users),), int(seq.min()))
        rows, moments = torch.from_numpy(users) + 1, torch.from_numpy(ts)
        z_users = self.encoder.embed(self.graph, rows, moments, before)
        items = torch.arange(1, self.n_items + 1)
        newest, first = torch.full_like(items, int(ts.max())), torch.full_like(items, int(seq.min()))
        z_items = self.encoder.embed_items(self.graph, items, newest, first)
        return np.asarray((z_users @ z_items.T / self.config.dim**0.5).cpu().numpy())

    def update(self, batch: EdgeLog) -> None:
        """Take in edges that were ranked; weights stay."""
        advance(self.graph, self.encoder, self.batch(batch))

    def fit(
        self,
        log: EdgeLog,
        split: Split,
        *,
        epochs: int,
        batch: int,
        patience: int | None = None,
        seed: int = 0,
        tick: Callable[[int], None] | None = None,
    ) -> int:
        """Epochs over the train events, each from an empty graph; returns the number of the epoch that is kept.

        With ``patience`` the epoch with the best validation MRR is kept, and after so many worse ones training ends;
        without, the last one is. Afterwards the graph stands at the end of the train events.
        """

        def batches() -> Iterator[EventBatch]:
            for low in range(0, split.train, batch):
                yield self.batch(log.part(low, min(low + batch, split.train)))

        def validate(graph: DynamicGraph) -> float:
            self.graph = graph
            ranking = rank(self, log, split.train, split.validation, batch)
            return report(ranking, log, split.train, batch).mrr

        fitted = fit(
            self.encoder,
            self.empty_graph,
            batches,
            epochs=epochs,
            validate=None if patience is None else validate,
            patience=patience or 0,
            seed=seed,
            tick=tick,
        )
        self.graph = fitted.graph
        return fitted.epoch
