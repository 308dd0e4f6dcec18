"""On a GPU: the same numbers as in numpy, and a step that never waits for the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from unit.dyngraph.small_logs import EVERY_KIND, cut, random_log

from dyngraph.advance import advance
from dyngraph.arrays import NUMPY, Arrays, TorchArrays
from dyngraph.batch import Columns
from dyngraph.graph import DynamicGraph
from models.tgn import TGN, preset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

LOG = random_log(300, users=20, items=30, seed=4, kinds=EVERY_KIND)
PRESETS = ("tgn", "jodie", "dyrep", "tgat")


def built(name: str, arrays: Arrays, device: str) -> tuple[TGN, DynamicGraph]:
    encoder = TGN(preset(name, dim=16, time_dim=8, neighbours=4), arrays, device)
    graph = encoder.graph()
    graph.admit(Columns(LOG))
    return encoder, graph


def on_gpu(name: str) -> tuple[TGN, DynamicGraph]:
    return built(name, TorchArrays("cuda", fixed_shapes=True), "cuda")


@contextmanager
def no_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", PRESETS)
def test_a_gpu_gives_the_numbers_of_numpy(name: str) -> None:
    (host, here), (device, there) = built(name, NUMPY, "cpu"), on_gpu(name)
    for part in cut(LOG, 32):
        batch = here.find(Columns(part))
        advance(here, host, batch)
        advance(there, device, batch)
    users = torch.arange(1, 21)
    ts, seq = torch.full_like(users, here.horizon.ts + 5_000), torch.full_like(users, here.horizon.seq + 1)
    torch.testing.assert_close(
        device.embed(there, users, ts, seq).cpu(), host.embed(here, users, ts, seq), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_step_never_waits_for_the_device(name: str) -> None:
    encoder, graph = on_gpu(name)
    batches = [graph.find(Columns(part)) for part in cut(LOG, 32)]
    advance(graph, encoder, batches[0])
    with no_waiting():
        for batch in batches[1:]:
            encoder.embed(graph, batch.users, batch.ts, batch.seq)
            encoder.embed_items(graph, batch.items, batch.ts, batch.seq)
            advance(graph, encoder, batch)


@pytest.mark.parametrize("name", PRESETS)
def test_a_gpu_learns(name: str) -> None:
    encoder, graph = on_gpu(name)
    before = {key: value.clone() for key, value in encoder.weights().items()}
    for number, part in enumerate(cut(LOG, 32)):
        advance(graph, encoder, graph.find(Columns(part)), learn=True, seed=number)
    assert encoder.version
    assert encoder.skipped == 0
    assert any(not value.equal(before[key]) for key, value in encoder.weights().items())
