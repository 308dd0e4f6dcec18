"""Batches made past every reader: what an encoder cannot take changes neither the graph nor the encoder."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.rig import Rig
from reference.streams import HOUR_MS, START_MS, long_stream
from reference.tgn import Event

from dyngraph.advance import advance
from dyngraph.arrays import NUMPY, TORCH, Arrays, TorchArrays
from dyngraph.batch import BadBatch, EventBatch
from dyngraph.state import digest
from models.tgn import preset

LIBRARIES: dict[str, Arrays] = {"numpy": NUMPY, "torch": TORCH, "torch as on a GPU": TorchArrays(fixed_shapes=True)}
PRESETS = ("tgn", "jodie", "dyrep", "tgat")


def fed(name: str, library: str = "numpy", *, edge_dim: int = 2) -> Rig:
    """A rig that has taken a stream and learned from it."""
    config = preset(name, dim=4, time_dim=3, neighbours=3, learn_events=4, edge_dim=edge_dim)
    rig = Rig(config, LIBRARIES[library])
    rig.run(long_stream(24, 6, edge_dim), learn=True)
    return rig


def batch(rig: Rig, users: list[int], items: list[int], features: int | None) -> EventBatch:
    """Events an hour after the newest, with as many features as asked."""
    n, horizon = len(users), rig.graph.horizon
    vectors = None if features is None else torch.ones(n, features)
    seq, types = horizon.seq + 1 + torch.arange(n), torch.ones(n, dtype=torch.int64)
    ts = torch.full((n,), horizon.ts + HOUR_MS)
    return EventBatch.checked(torch.tensor(users), torch.tensor(items), types, torch.zeros(n), ts, seq, vectors)


def refused(rig: Rig, bad: EventBatch, named: str) -> None:
    """Nothing has changed, and the error says which event is meant."""
    before = digest(rig.graph.state()), digest(rig.encoder.state())
    with pytest.raises(BadBatch, match=named):
        advance(rig.graph, rig.encoder, bad, learn=True, seed=1)
    assert (digest(rig.graph.state()), digest(rig.encoder.state())) == before


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("features", [None, 0, 1, 3])
def test_features_of_another_width_are_refused(name: str, library: str, features: int | None) -> None:
    rig = fed(name, library)
    refused(rig, batch(rig, [1, 2, 1, 2], [1, 2, 2, 1], features), "features")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("beyond", [0, 2**62])
def test_a_row_that_nobody_has_is_refused_by_the_events_place(name: str, library: str, side: str, beyond: int) -> None:
    rig = fed(name, library)
    rows = {"user": [1, 2, 1, 2], "item": [1, 2, 2, 1]}
    rows[side][2] = rig.graph.sizes()[side == "item"] + beyond
    refused(rig, batch(rig, rows["user"], rows["item"], 2), f"event 2 .*{side} row")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PRESETS)
def test_an_empty_batch_changes_nothing(name: str, library: str) -> None:
    rig = fed(name, library)
    before = digest(rig.graph.state()), digest(rig.encoder.state())
    assert advance(rig.graph, rig.encoder, batch(rig, [], [], 2), learn=True) is None
    assert (digest(rig.graph.state()), digest(rig.encoder.state())) == before


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("aggregator", ["last", "mean"])
def test_one_pair_a_thousand_times_in_a_batch_is_what_the_reference_makes_of_it(
    name: str, library: str, aggregator: str
) -> None:
    config = preset(name, dim=4, time_dim=3, neighbours=3, layers=1, aggregator=aggregator)
    rig = Rig(config, LIBRARIES[library])
    rig.run(long_stream(6, 6))
    start = START_MS + HOUR_MS
    rig.run([[Event(100 + n, "u1", "i1", 1 + n % 8, start + n // 3, float(n % 5)) for n in range(1_000)]])


@pytest.mark.parametrize("name", PRESETS)
@settings(deadline=None, max_examples=6)
@given(value=st.sampled_from((1e-38, -1e10, 3e38, -3e38)), learn=st.booleans())
def test_the_largest_and_smallest_values_are_values_like_any_other(name: str, value: float, learn: bool) -> None:
    rig = fed(name, edge_dim=0)
    first = [Event(100 + n, f"u{n % 3}", "i1", 5, START_MS + HOUR_MS, value) for n in range(6)]
    second = [event._replace(seq=event.seq + 100, ts=event.ts + HOUR_MS) for event in first]
    rig.run([first, second], learn=learn)
