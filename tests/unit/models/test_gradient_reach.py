"""Every trainable part learns, and a gradient that is not finite teaches nothing."""

from __future__ import annotations

import pytest
import torch
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, fed, feed, random_log

from dyngraph.events import Item
from dyngraph.protocols import Signal
from models.ranker import GatedRanker
from models.system import SystemConfig, build_engine
from models.tgn import TGN, preset
from models.tgn.config import TYPE_PLACES

LOG = random_log(160, seed=21, kinds=EVERY_KIND)


TEXT = 3
FAMILY = {name: preset(name, dim=8, time_dim=4, neighbours=4) for name in ("tgn", "jodie", "dyrep", "tgat")} | {
    "two layers, mean, bpr, replay": preset(
        "tgn", dim=8, time_dim=4, neighbours=4, layers=2, aggregator="mean", loss="bpr", replay=64
    ),
    "text": preset("tgn", dim=8, time_dim=4, neighbours=4, item_dim=TEXT, draws=0),
}


@pytest.mark.parametrize("name", FAMILY)
def test_every_weight_tensor_of_encoder_and_ranker_moves(name: str) -> None:
    engine = build_engine(SystemConfig(tgn=FAMILY[name]))
    assert isinstance(engine.encoder, TGN)
    assert isinstance(engine.ranker, GatedRanker)
    parts = {"encoder": engine.encoder, "ranker": engine.ranker}
    before = {
        (part, name): w.detach().clone()
        for part in parts
        for name, w in parts[part].named_parameters()
        if w.requires_grad
    }
    feed(engine, LOG[:64], 16)
    if FAMILY[name].item_dim:
        known = {event.item_id for _, event in LOG[:64]}
        engine.describe(items={item: [1.0, 0.5, -0.25 * place] for place, item in enumerate(sorted(known))})
    feed(engine, LOG[64:], 16)
    weights = {(part, name): w for part in parts for name, w in parts[part].named_parameters()}
    assert [key for key, value in before.items() if weights[key].detach().equal(value)] == []


def test_the_gate_of_every_feature_moves_but_the_fixed_ones() -> None:
    engine = build_engine(SMALL)
    named = {event.item_id for _, event in LOG}
    engine.graph.catalogue.put(Item(name, brand=f"brand {number % 3}") for number, name in enumerate(sorted(named)))
    start = engine.ranker.state()["weight.bias"].clone(), engine.ranker.state()["weight.slope"].clone()
    feed(engine, LOG, 16)
    bias, slope = engine.ranker.state()["weight.bias"], engine.ranker.state()["weight.slope"]
    features = [feature for source in engine.sources for feature in source.features]
    assert len(features) == bias.shape[0]
    moved = {f.name for f, now, then in zip(features, bias, start[0], strict=True) if not now.equal(then)}
    sloped = {f.name for f, now, then in zip(features, slope.T, start[1].T, strict=True) if not now.equal(then)}
    expected = {feature.name for feature in features if feature.signal is not Signal.LOWERS}
    assert moved == sloped == expected


def test_static_vectors_of_the_users_and_items_that_were_seen_move() -> None:
    idle, learned = fed(LOG, 16, learn=False).encoder.state(), fed(LOG, 16).encoder.state()
    for side in ("user", "item"):
        (name,) = [key for key in idle if side in key and key.endswith(".rows")]
        changed = (idle[name] != learned[name]).any(1)
        assert not changed[0], "the null node learns nothing"
        assert changed[1:].all()


def test_events_of_every_kind_have_learned_vectors() -> None:
    idle, learned = fed(LOG, 16, learn=False).encoder.state(), fed(LOG, 16).encoder.state()
    changed = (idle["weight.user.attention.0.key.weight"] != learned["weight.user.attention.0.key.weight"]).any(0)
    kinds = changed[SMALL.tgn.dim : SMALL.tgn.dim + TYPE_PLACES]
    assert all(kinds[kind] for kind in EVERY_KIND)
    assert not kinds[0], "the padding type of empty slots teaches nothing"


def test_a_gradient_that_is_not_finite_is_skipped_and_counted() -> None:
    engine = fed(LOG[:64], 16)
    encoder, ranker = engine.encoder, engine.ranker
    assert isinstance(encoder, TGN)
    assert isinstance(ranker, GatedRanker)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(1e30)
    encoder.weights_changed()
    weights = {name: value.clone() for name, value in encoder.state().items() if name.startswith("weight.")}
    gates = {name: value.clone() for name, value in ranker.state().items() if name.startswith("weight.")}
    version = encoder.version
    assert encoder.skipped == ranker.skipped == 0
    feed(engine, LOG[64:128], 32)
    assert encoder.skipped > 0
    assert encoder.version == version
    assert all(encoder.state()[name].equal(value) for name, value in weights.items())
    assert ranker.skipped > 0
    assert all(ranker.state()[name].equal(value) for name, value in gates.items())
