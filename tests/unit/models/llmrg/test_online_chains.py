"""LLMRG on line inside an engine: which graph counts, what is kept of it and for how long, and what is learned."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from unit.dyngraph.small_logs import EVERY_KIND, Event, cut, event, random_log
from unit.models.living_parts import (
    CHAINS,
    MUTE,
    TWINS,
    asking,
    brought,
    chain_source,
    chained,
    chains_of,
    copied,
    failing,
    graph_of,
    minute,
)

from dyngraph.engine import Engine
from dyngraph.order import Moment
from dyngraph.reasoning import ReasoningGraph
from dyngraph.state import digest
from models.llmrg.fusion import FusionConfig
from models.llmrg.online import OnlineChains
from models.llmrg.stream import StreamChainsConfig

LOG = random_log(120, users=6, items=16, seed=3, kinds=EVERY_KIND)
PATIENT = msgspec.structs.replace(CHAINS, learn_events=10_000)


def taken(engine: Engine, log: list[Event], size: int = 8, first: int = 0) -> Engine:
    for number, step in enumerate(cut(log, size), start=first):
        engine.step(step)
        brought(engine, number)
    return engine


def settled(model_of: StreamChainsConfig = CHAINS) -> Engine:
    """After three users had two items each."""
    engine = chained(model_of)
    for seq in range(6):
        engine.step([event(seq, f"user-{seq % 3}", f"item-{seq}")])
    return engine


def came(engine: Engine, *graphs: ReasoningGraph) -> None:
    """Their user has reached their horizons."""
    for made in graphs:
        engine.graph.users.last_ts[int(engine.graph.user_ids.find([made.user_id])[0])] = made.ts
        assert engine.graph.reasoning.put(made)


def encoded(engine: Engine, seq: int) -> None:
    """Let a step pass, in which graphs that have come are encoded."""
    engine.step([event(seq, "bystander", "item-0")], learn=False)


def kept(model: OnlineChains, user: int) -> dict[str, Any]:
    return {name: table.view[user].tolist() for name, table in model._tables().items() if name != "lasting"}


@pytest.mark.parametrize("divergence", ["graph", "pooled", "off"])
def test_what_is_learned_reaches_every_part(divergence: Any) -> None:
    config = msgspec.structs.replace(CHAINS, fusion=FusionConfig(dim=8, divergence=divergence))
    engine = chained(config)
    model = chains_of(engine)
    before = {name: value.detach().clone() for name, value in model.network.named_parameters()}
    taken(engine, LOG)
    assert model.learned.updates > 8 and model.learned.skipped == 0
    assert not [name for name, value in model.network.named_parameters() if value.equal(before[name])]
    assert any("divergent" in name for name in before) == (divergence == "graph")


def test_a_graph_counts_after_its_horizon_and_once_a_step_has_passed() -> None:
    engine = settled()
    model = chains_of(engine)
    row = engine.graph.user_ids.find(["user-1"])
    made = graph_of("user-1", minute(4), ["item-1", "item-4"], [("item-2", 90.0)])
    assert engine.graph.reasoning.put(made)
    assert not model.counts(row, torch.tensor([minute(99)])), "nothing is computed for a list"
    encoded(engine, 10)
    moments = torch.tensor([minute(4) - 1, minute(4), minute(4) + 1])
    assert model.counts(row.expand(3), moments).tolist() == [False, False, True]
    rows, scores = model.imagined(row.expand(3), moments)
    (imagined,) = engine.graph.item_ids.find(["item-2"]).tolist()
    assert rows[:, 0].tolist() == [0, 0, imagined]
    torch.testing.assert_close(scores[:, 0], torch.tensor([0.0, 0.0, 0.9]))
    temporal = asking(engine, "user-1").vectors.expand(3, -1)
    fused = model.users(row.expand(3), moments, temporal)
    assert fused[0].equal(fused[1]) and not torch.allclose(fused[1], fused[2])


def test_at_the_very_moment_of_the_horizon_all_features_are_zero() -> None:
    engine = settled()
    source = chain_source(engine)
    engine.graph.reasoning.put(graph_of("user-1", minute(4), ["item-1"], [("item-2", 90.0)]))
    encoded(engine, 10)
    items = torch.arange(engine.graph.sizes()[1]).unsqueeze(0)
    # What may be asked lies behind the state's horizon; the graph's is moved there instead.
    for horizon, there in ((minute(10), True), (minute(11), False), (minute(12), False)):
        source.model._horizon.view[int(engine.graph.user_ids.find(["user-1"])[0])] = horizon
        queries = asking(engine, "user-1", at=Moment(minute(11), 99))
        assert bool(source.describe(engine.graph, queries, items).any()) == there
        assert bool(source.propose(engine.graph, queries).any()) == there


def test_users_without_a_graph_have_zeros_and_strangers_too() -> None:
    engine = settled()
    engine.graph.reasoning.put(graph_of("user-1", minute(4), ["item-1"], [("item-2", 90.0)]))
    encoded(engine, 10)
    source = chain_source(engine)
    queries = asking(engine, "user-0", "user-1", "nobody")
    items = torch.arange(engine.graph.sizes()[1]).expand(3, -1)
    features = source.describe(engine.graph, queries, items)
    assert features.any(2).any(1).tolist() == [False, True, False]
    assert torch.isfinite(features).all() and (features >= 0).all() and (features <= 1).all()
    assert source.propose(engine.graph, queries).any(1).tolist() == [False, True, False]
    assert not features[1, 0].any(), "the null row has nothing"


def test_what_is_imagined_and_not_in_the_graph_yet_is_found_once_it_is() -> None:
    engine = settled(PATIENT)
    model = chains_of(engine)
    behind = [("item-20", 70.0), ("item-2", 60.0), ("", 0.0), ("of no catalogue", 50.0)]
    engine.graph.reasoning.put(graph_of("user-1", minute(4), ["item-30", "item-1"], behind))
    encoded(engine, 10)
    row, ts = engine.graph.user_ids.find(["user-1"]), torch.tensor([minute(50)])
    (known,) = engine.graph.item_ids.find(["item-2"]).tolist()
    assert model.imagined(row, ts)[0][0].tolist() == [known] + [0] * 31
    engine.step([event(11, "user-0", "item-20")])
    assert model.imagined(row, ts)[0][0, :2].tolist() == [known, 0], "until the graph is renewed"
    model.renew_users(engine.graph, row)
    (found,) = engine.graph.item_ids.find(["item-20"]).tolist()
    rows, scores = model.imagined(row, ts)
    assert rows[0, :3].tolist() == [found, known, 0]
    torch.testing.assert_close(scores[0, :3], torch.tensor([0.7, 0.6, 0.0]))


def test_a_graph_of_items_that_nobody_knows_is_no_graph_for_the_network() -> None:
    engine = settled(PATIENT)
    model = chains_of(engine)
    engine.graph.reasoning.put(graph_of("user-1", minute(4), ["unheard of"], [("item-2", 60.0)]))
    encoded(engine, 10)
    row = int(engine.graph.user_ids.find(["user-1"])[0])
    assert not any(kept(model, row)["parts"])
    assert not any(kept(model, row)["imagined"]), "what nothing leads to is not imagined"


def test_a_newer_graph_takes_the_place_of_the_older_whole() -> None:
    engine = settled()
    model = chains_of(engine)
    row = engine.graph.user_ids.find(["user-1"])
    engine.graph.reasoning.put(graph_of("user-1", minute(1), ["item-1"], [(f"item-{n}", 50.0) for n in range(6)]))
    encoded(engine, 10)
    before = kept(model, int(row))
    engine.graph.reasoning.put(graph_of("user-1", minute(4), ["item-1", "item-4"], [("item-3", 40.0)]))
    encoded(engine, 11)
    after = kept(model, int(row))
    assert after["horizon"] == minute(4) > before["horizon"]
    assert after["parts"] != before["parts"]
    assert sum(value > 0 for value in after["imagined"]) == 1 == sum(value > 0 for value in after["scores"])


def test_only_events_of_users_whose_graph_counted_are_learned() -> None:
    engine = settled(PATIENT)
    model = chains_of(engine)
    assert not [name for name in model.state() if name.startswith("waiting")]
    first, second = (graph_of("user-1", minute(at), ["item-1"]) for at in (1, 12))
    came(engine, first, second)
    engine.step([event(20, "user-0", "item-1"), event(21, "user-1", "item-2")], learn=False)
    assert "waiting.people" not in model.state(), "nothing was to be learned"
    engine.step([event(22, "user-0", "item-1"), event(23, "user-1", "item-2"), event(24, "user-1", "item-3")])
    assert model._waiting is not None
    assert model._waiting.graphs == [second, second]
    assert model._waiting.items.tolist() == engine.graph.item_ids.find(["item-2", "item-3"]).tolist()
    late = settled(PATIENT)
    came(late, first, second)
    late.step([event(30, "user-1", "item-2", ts=minute(12))])
    waiting = chains_of(late)._waiting
    assert waiting is not None and waiting.graphs == [first], "at its horizon the newer one does not count yet"


def test_what_is_learned_does_not_hang_on_what_items_took_in_from_the_events_themselves() -> None:
    engine = taken(chained(PATIENT), LOG[:80])
    model, graph = chains_of(engine), engine.graph
    examples = model._waiting
    assert examples is not None
    whole = model._temporal().clone()
    before = model._gradients(graph, examples, 7)

    def loss_with(rows: torch.Tensor) -> float:
        changed = whole.clone()
        changed[rows] = torch.randn(len(rows), whole.shape[1], generator=torch.Generator().manual_seed(3))
        model._temporal = lambda: changed
        return model._gradients(graph, examples, 7)[1]

    assert loss_with(torch.unique(examples.items)) == before[1]
    others = torch.ones(len(whole), dtype=torch.bool)
    others[examples.items] = False
    if others[1 : graph.sizes()[1]].any():
        assert loss_with(others.nonzero().squeeze(1)) != before[1], "items nobody took do count"


def test_an_example_holds_its_item_as_it_was_just_before() -> None:
    engine = taken(chained(PATIENT), LOG[:80])
    model = chains_of(engine)
    row = int(engine.graph.item_ids.find(["item-2"])[0])
    engine.graph.reasoning.put(graph_of("user-1", engine.graph.horizon.ts, ["item-1"]))
    before = model._temporal()[row].clone(), int(engine.graph.items.events[row])
    engine.step([event(900, "user-1", "item-2")])
    examples = model._waiting
    assert examples is not None and int(examples.items[-1]) == row
    assert torch.equal(examples.vectors[-1], before[0]) and int(examples.met[-1]) == before[1]
    assert not torch.equal(model._temporal()[row], before[0]), "and the event did change it"


@pytest.mark.parametrize("steps", [2, 7, 12])
def test_a_restored_state_goes_on_exactly_while_graphs_come(steps: int) -> None:
    config = msgspec.structs.replace(CHAINS, learn_events=7)
    whole, parts = chained(config), list(cut(LOG, 7))
    for number, step in enumerate(parts[:steps]):
        whole.step(step)
        brought(whole, number)
    whole.graph.texts.put({"item-2": whole.graph.texts.get("item-9") or b""})
    again = copied(whole, chains=config)
    assert again.digest() == whole.digest()
    assert repr(chains_of(again)._waiting) == repr(chains_of(whole)._waiting)
    for number, step in enumerate(parts[steps:], start=steps):
        for one in (whole, again):
            one.step(step)
            brought(one, number)
        assert again.digest() == whole.digest()
    assert chains_of(whole).learned.updates > 3
    assert again.recommend(["user-1", "user-4"]) == whole.recommend(["user-1", "user-4"])


def test_a_failed_step_leaves_no_trace() -> None:
    engine, other = (taken(chained(), LOG[:80]) for _ in range(2))
    before, after = failing(engine, LOG[80:88])
    assert after == before
    before, after = failing(engine, [event(900, "newcomer", "item-1"), event(901, "newcomer", "item-2")])
    assert after == before
    for one in (engine, other):
        taken(one, LOG[80:], first=10)
    assert engine.digest() == other.digest()


def test_a_failed_step_that_brought_an_item_leaves_no_trace() -> None:
    engine = taken(chained(), LOG[:80])
    before, after = failing(engine, [event(900, "user-1", "item-20"), event(901, "user-2", "item-1")])
    assert after == before


def test_an_erased_user_leaves_no_vector_and_no_example() -> None:
    engine = taken(chained(PATIENT), LOG[:80])
    model = chains_of(engine)
    row = int(engine.graph.user_ids.find(["user-2"])[0])
    assert any(kept(model, row)["parts"]) and model._waiting is not None
    others = int((model._waiting.people != row).sum())
    assert 0 < others < len(model._waiting.graphs)
    engine.erase_user("user-2")
    assert kept(model, row) == kept(model, 0)
    assert model._waiting is not None and len(model._waiting.graphs) == others == len(model._waiting.items)
    assert not any(one.user_id == "user-2" for one in model._waiting.graphs)
    for name, value in engine.state().items():
        if value.dtype == torch.uint8:
            assert b"user-2" not in value.numpy().tobytes(), name
    encoded(engine, 500)
    assert kept(model, row) == kept(model, 0), "and it does not come back"
    for user in range(6):
        engine.erase_user(f"user-{user}")
    assert model._waiting is None


def test_a_gradient_that_is_not_finite_is_skipped_and_counted() -> None:
    engine = taken(chained(), LOG[:80])
    model = chains_of(engine)
    before = {name: value.clone() for name, value in model.state().items() if name != "updates"}
    gradients = {name: torch.full_like(value, torch.nan) for name, value in model.network.named_parameters()}
    model.learn(engine.graph, gradients)
    assert model.learned.skipped == 1
    assert digest({name: value for name, value in model.state().items() if name != "updates"}) == digest(before)


def test_vectors_of_users_are_renewed_with_the_weights() -> None:
    engine = taken(chained(PATIENT), LOG)
    model = chains_of(engine)
    encoded(engine, 500)
    users = (model._horizon.view >= 0).nonzero().squeeze(1)
    before = model._parts.view[users].clone()
    gradients = {name: torch.ones_like(value) for name, value in model.network.named_parameters()}
    model.learn(engine.graph, gradients)
    after = model._parts.view[users].clone()
    assert len(users) == 6 and (after != before).any(1).all()
    model.renew_users(engine.graph, users)
    assert model._parts.view[users].equal(after)


def test_logits_are_the_products_with_the_items_vectors() -> None:
    engine = taken(chained(), LOG)
    model = chains_of(engine)
    items = torch.arange(1, engine.graph.sizes()[1])
    fused = torch.randn(3, CHAINS.dim)
    torch.testing.assert_close(
        model.logits(fused, items.expand(3, -1)), fused @ model.item_vectors(items).T, rtol=1e-4, atol=1e-4
    )


def test_items_without_text_and_twins_differ_by_the_graph_alone() -> None:
    engine = taken(chained(), LOG)
    model = chains_of(engine)
    mute, one, other = engine.graph.item_ids.find([MUTE, *TWINS]).tolist()
    lasting = model.state()["lasting"]
    assert not lasting[mute].any() and lasting[one].any()
    model.renew_items(torch.tensor([one, other]))
    assert model.state()["lasting"][one].equal(model.state()["lasting"][other])


def test_a_new_text_reaches_the_item_with_the_next_step() -> None:
    engine = taken(chained(PATIENT), LOG[:60])
    model = chains_of(engine)
    (row,) = engine.graph.item_ids.find(["item-4"]).tolist()
    engine.graph.texts.put({"item-4": engine.graph.texts.get("item-9") or b""})
    engine.step([event(500, "user-1", "item-9")])
    (other,) = engine.graph.item_ids.find(["item-9"]).tolist()
    torch.testing.assert_close(model.state()["lasting"][row], model.state()["lasting"][other])


@pytest.mark.parametrize("name", ["dim", "text_dim", "temporal_dim", "learn_events", "draws", "propose"])
def test_counts_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0: use 1 or more"):
        msgspec.structs.replace(CHAINS, **{name: 0})
