"""Training over epochs: it learns, stops early, and leaves the memory that belongs to the kept weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from unit.dyngraph.small_logs import cut, random_log

from dyngraph.advance import advance
from dyngraph.batch import Columns, EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.state import digest
from models.tgn import TGN, fit, preset

LOG = random_log(120, users=5, items=8, seed=3)


class Rig:
    def __init__(self) -> None:
        self.encoder = TGN(preset("tgn", dim=8, time_dim=4, neighbours=4, learn_events=8))

    def empty(self) -> DynamicGraph:
        graph = self.encoder.graph()
        graph.admit(Columns(LOG))
        return graph

    def batches(self) -> Iterator[EventBatch]:
        known = self.empty()
        return (known.find(Columns(part)) for part in cut(LOG, 16))

    def margin(self, graph: DynamicGraph) -> float:
        """How much nearer users are to their last item than to the average one."""
        batch = graph.find(Columns(LOG[-40:]))
        after = torch.full_like(batch.ts, graph.horizon.ts + 1)
        users = self.encoder.embed(graph, batch.users, after, batch.seq)
        everything = torch.arange(1, graph.sizes()[1])
        items = self.encoder.embed_items(graph, everything, after[:1].expand_as(everything), everything)
        scores = users @ items.T
        return float((scores.gather(1, batch.items.unsqueeze(1) - 1).squeeze(1) - scores.mean(1)).mean())


def test_epochs_bring_users_nearer_to_what_they_take() -> None:
    one, many = Rig(), Rig()
    once = one.margin(fit(one.encoder, one.empty, one.batches, epochs=1).graph)
    often = many.margin(fit(many.encoder, many.empty, many.batches, epochs=12).graph)
    assert often > once


def test_training_stops_after_patience_and_keeps_the_best_epoch_with_its_memory() -> None:
    rig, states = Rig(), list[tuple[str, str]]()
    verdicts = iter((0.1, 0.5, 0.4, 0.3, 0.9))

    def validate(graph: DynamicGraph) -> float:
        states.append((digest(rig.encoder.state()), digest(graph.state())))
        # Validation may take later events in: what it did is undone.
        advance(graph, rig.encoder, next(rig.batches()))
        return next(verdicts)

    fitted = fit(rig.encoder, rig.empty, rig.batches, epochs=9, validate=validate, patience=2)
    assert (fitted.epoch, fitted.scores) == (2, [0.1, 0.5, 0.4, 0.3])
    assert (digest(rig.encoder.state()), digest(fitted.graph.state())) == states[1]


def test_the_same_seed_trains_the_same_encoder() -> None:
    one, other = Rig(), Rig()
    for rig in (one, other):
        fit(rig.encoder, rig.empty, rig.batches, epochs=2, seed=5)
    assert digest(one.encoder.state()) == digest(other.encoder.state())


def test_no_epoch_is_an_error() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="epochs=0"):
        fit(rig.encoder, rig.empty, rig.batches, epochs=0)
