"""Who writes memory and who only reads it: events write, and nothing else does."""

from __future__ import annotations

import pytest
import torch
from reference.rig import Rig
from reference.streams import HOUR_MS, long_stream
from reference.tgn import Event
from torch import Tensor
from unit.dyngraph.small_logs import SMALL, cut, event, fed, random_log

from dyngraph.arrays import NUMPY, Arrays, TorchArrays
from dyngraph.nodes import NodeStore
from dyngraph.state import State, digest
from models.system import build_engine
from models.tgn import preset

PRESETS = ("tgn", "jodie", "dyrep", "tgat")
LIBRARIES: dict[str, Arrays] = {"numpy": NUMPY, "torch as on a GPU": TorchArrays(fixed_shapes=True)}


def fed_rig(name: str, library: str = "numpy") -> Rig:
    """A small encoder and graph that have taken a stream and learned from it."""
    config = preset(name, dim=4, time_dim=3, neighbours=3, learn_events=4)
    rig = Rig(config, LIBRARIES[library])
    for part in long_stream(48, 6):
        if isinstance(part, list):
            rig.step(part, learn=True)
    return rig


def kept(store: NodeStore, rows: Tensor) -> State:
    return {name: value[rows].clone() for name, value in store.state().items()}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PRESETS)
def test_idle_nodes_keep_everything_bit_for_bit_also_when_drawn_as_negatives(name: str, library: str) -> None:
    rig = fed_rig(name, library)
    graph, version = rig.graph, rig.encoder.version
    user, item = graph.user_ids.find(["u1"]), graph.item_ids.find(["i2"])
    idle_users = torch.tensor([row for row in range(len(graph.users)) if row != int(user)])
    idle_items = torch.tensor([row for row in range(len(graph.items)) if row != int(item)])
    before = kept(graph.users, idle_users), kept(graph.items, idle_items)
    for n in range(32):
        rig.step([Event(100 + n, "u1", "i2", 1, graph.horizon.ts + HOUR_MS)], learn=True)
    assert rig.encoder.version > version, "nothing was learned, so the test shows nothing"
    for earlier, now in zip(before, (kept(graph.users, idle_users), kept(graph.items, idle_items)), strict=True):
        assert all(earlier[column].equal(now[column]) for column in earlier)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PRESETS)
def test_asking_for_embeddings_of_anyone_at_any_time_changes_no_bit(name: str, library: str) -> None:
    rig = fed_rig(name, library)
    before = digest(rig.graph.state()), digest(rig.encoder.state())
    for embed, store in ((rig.encoder.embed, rig.graph.users), (rig.encoder.embed_items, rig.graph.items)):
        rows = torch.arange(len(store)).repeat(3)
        ts = rig.graph.horizon.ts + HOUR_MS * torch.arange(-1, 2).repeat_interleave(len(store))
        embed(rig.graph, rows, ts, torch.zeros_like(rows))
    assert (digest(rig.graph.state()), digest(rig.encoder.state())) == before


def test_asking_for_lists_changes_no_bit() -> None:
    engine = fed(random_log(24, seed=2), 8)
    before = engine.digest()
    engine.recommend(["user-1", "user-2", "nobody"], k=5)
    assert engine.digest() == before


@pytest.mark.parametrize("name", ["tgn", "tgat"])
def test_an_edge_is_seen_from_one_place_after_it_on_and_not_at_its_own(name: str) -> None:
    rig = Rig(preset(name, dim=4, time_dim=3, neighbours=3))
    rig.run([[Event(5, "u1", "i1", 1, 1_000)]])

    def asked(ts: int, seq: int) -> Tensor:
        return rig.encoder.embed(rig.graph, torch.tensor([1]), torch.tensor([ts]), torch.tensor([seq]))

    blind = asked(0, 0)
    assert asked(999, 10**9).equal(blind)
    assert asked(1_000, 5).equal(blind)
    assert not asked(1_000, 6).equal(blind)
    assert not asked(1_001, 0).equal(blind)


def test_a_message_is_applied_once_however_often_it_is_read() -> None:
    engine = build_engine(SMALL)
    engine.step([event(0, "ann", "tea")], learn=False)
    row = int(engine.graph.user_ids.find(["ann"])[0])
    once = engine.graph.users.state()["applied"][row].clone()
    for step in cut([event(seq, "bob", "milk") for seq in range(1, 4)], 1):
        engine.recommend(["ann"])
        engine.step(step, learn=False)
    assert engine.graph.users.state()["applied"][row].equal(once)
    engine.step([event(4, "ann", "rum")], learn=False)
    assert engine.graph.users.state()["memory"][row].equal(once)
