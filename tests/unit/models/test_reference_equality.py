"""The encoder equals the slow reference, on any stream, for every member of the family and every setting."""

from __future__ import annotations

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.rig import Rig
from reference.streams import Stream, long_stream, streams

from dyngraph.arrays import TORCH, Arrays, TorchArrays
from models.tgn import TGNConfig, preset

SMALL = {"dim": 4, "time_dim": 3, "neighbours": 3, "learn_events": 4}
CONFIGS: dict[str, TGNConfig] = {
    "tgn": preset("tgn", **SMALL),
    "jodie": preset("jodie", **SMALL),
    "dyrep": preset("dyrep", **SMALL),
    "tgat": preset("tgat", **SMALL),
    "tgn, mean of messages": preset("tgn", aggregator="mean", **SMALL),
    "tgn, two layers": preset("tgn", layers=2, **SMALL),
    "tgn, edge features": preset("tgn", edge_dim=2, **SMALL),
    "tgn, text of items": preset("tgn", item_dim=3, **SMALL),
    "tgn, text of both and features": preset("tgn", user_dim=2, item_dim=3, edge_dim=1, **SMALL),
    "tgn, one neighbour and one head": preset("tgn", **{**SMALL, "neighbours": 1, "heads": 1}),
    "tgn, everything": preset("tgn", aggregator="mean", layers=2, edge_dim=2, item_dim=2, **SMALL),
    "tgn, identity": preset("tgn", embedding="identity", **SMALL),
    "tgn, time projection": preset("tgn", embedding="time", **SMALL),
    "tgn, plain recurrent cell": preset("tgn", memory="rnn", **SMALL),
    "tgn, messages of embeddings": preset("tgn", message_other="embedding", **SMALL),
    "jodie, mean of messages": preset("jodie", aggregator="mean", **SMALL),
    "dyrep, mean of messages": preset("dyrep", aggregator="mean", **SMALL),
    "dyrep, two layers and text": preset("dyrep", layers=2, item_dim=2, **SMALL),
    "tgat, one layer": preset("tgat", **{**SMALL, "layers": 1}),
    "tgat, text and features": preset("tgat", item_dim=3, edge_dim=2, **SMALL),
}
PRESETS = list(CONFIGS)[:4]
OTHERS = list(CONFIGS)[4:]
VARIED = [*PRESETS, "tgn, everything", "dyrep, two layers and text"]
LEARNERS: dict[str, TGNConfig] = {
    "pairwise loss": preset("tgn", loss="bpr", **SMALL),
    "all items drawn": preset("tgn", draws=0, **SMALL),
    "past examples": preset("tgn", replay=8, **SMALL),
    "two layers and past examples": preset("tgat", replay=8, **SMALL),
}
LIBRARIES: dict[str, Arrays] = {"torch": TORCH, "torch as on a GPU": TorchArrays(fixed_shapes=True)}
CACHE = pytest.mark.parametrize("cache", [True, False], ids=["cache", "no cache"])


def of(name: str, cache: bool) -> TGNConfig:
    return msgspec.structs.replace(CONFIGS[name], cache=cache)


@CACHE
@pytest.mark.parametrize("name", PRESETS)
@settings(deadline=None, max_examples=15)
@given(stream=streams())
def test_every_preset_equals_the_reference(name: str, cache: bool, stream: Stream) -> None:
    Rig(of(name, cache)).run(stream)


@pytest.mark.parametrize("name", PRESETS)
@settings(deadline=None, max_examples=8)
@given(stream=streams(batches=9, size=1))
def test_every_preset_equals_the_reference_event_by_event(name: str, stream: Stream) -> None:
    Rig(CONFIGS[name]).run(stream)


@CACHE
@pytest.mark.parametrize("name", OTHERS)
@settings(deadline=None, max_examples=5)
@given(data=st.data())
def test_every_other_setting_equals_the_reference(name: str, cache: bool, data: st.DataObject) -> None:
    config = of(name, cache)
    Rig(config).run(data.draw(streams(features=config.edge_dim)))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", VARIED)
@settings(deadline=None, max_examples=5)
@given(data=st.data())
def test_torch_and_fixed_shapes_equal_the_reference_too(name: str, library: str, data: st.DataObject) -> None:
    config = CONFIGS[name]
    Rig(config, LIBRARIES[library]).run(data.draw(streams(features=config.edge_dim)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("learn", [False, True], ids=["still", "learning"])
@pytest.mark.parametrize("name", VARIED)
def test_a_gpu_equals_the_reference_too(name: str, learn: bool) -> None:
    if learn and "text" in name:
        pytest.skip("what the map of given vectors makes of them is cached until the node's next event")
    config = CONFIGS[name]
    rig = Rig(config, TorchArrays("cuda", fixed_shapes=True), "cuda")
    rig.run(long_stream(48, 6, config.edge_dim), learn=learn)


@CACHE
@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("name", [*CONFIGS, *LEARNERS])
def test_it_stays_equal_while_it_learns(name: str, size: int, cache: bool) -> None:
    config = LEARNERS[name] if name in LEARNERS else CONFIGS[name]
    # What the map of given vectors makes of them is cached until a node's next event, so it is looked at without cache.
    given = config.user_dim or config.item_dim
    rig = Rig(msgspec.structs.replace(config, cache=cache and not given))
    rig.run(long_stream(48 if size > 1 else 24, size, config.edge_dim), learn=True)
    assert rig.encoder.version > 1, "nothing was learned, so the test shows nothing"
    assert rig.encoder.skipped == 0
