"""Chains as a source: what was imagined is proposed and described, and a reason tells the chain that did it."""

from __future__ import annotations

import pytest
import torch
from unit.dyngraph.small_logs import cut, event, random_log
from unit.models.living_parts import CHAINS, asking, chain_source, chained, graph_of, reasoning

from dyngraph.engine import Engine
from dyngraph.order import Moment
from dyngraph.protocols import Cause, Learner, Source
from evaluation.reporting.chains import only
from models.sources.chains import ChainSource

LOG = random_log(120, users=6, items=16, seed=11)
BEHIND = [("item-9", 95.0), ("item-3", 40.0), ("item-12", 70.0)]


def with_graph(imagined: list[tuple[str, float]]) -> tuple[Engine, ChainSource]:
    """After the same log one user has a graph with this imagined behind ``item-1 → item-4``; nothing was learned."""
    engine = after_log()
    came(engine, 400, ["item-1", "item-4"], imagined)
    engine.step([event(500, "bystander", "item-0")], learn=False)
    return engine, chain_source(engine)


def after_log() -> Engine:
    engine = chained()
    for step in cut(LOG, 8):
        engine.step(step, learn=False)
    return engine


def came(engine: Engine, first: int, items: list[str], imagined: list[tuple[str, float]]) -> None:
    """The user takes these, from event ``first`` on, and a graph of them comes: from the next step on it counts."""
    taken = list(dict.fromkeys(items))
    engine.step([event(first + at, "user-1", item) for at, item in enumerate(taken)], learn=False)
    assert engine.graph.reasoning.put(graph_of("user-1", engine.graph.horizon.ts, items, imagined))


def later(engine: Engine) -> Moment:
    """When every graph that there is counts."""
    return engine.graph.horizon._replace(ts=engine.graph.horizon.ts + 1)


def features(engine: Engine, source: ChainSource, item: str) -> dict[str, float]:
    row = engine.graph.item_ids.find([item]).unsqueeze(0)
    everything = torch.cat((row, torch.arange(1, engine.graph.sizes()[1]).unsqueeze(0)), dim=1)
    values = source.describe(engine.graph, asking(engine, "user-1", at=later(engine)), everything)[0, 0].tolist()
    return dict(zip((feature.name for feature in source.features), values, strict=True))


def told(engine: Engine, source: ChainSource, item: str) -> str:
    row = int(engine.graph.item_ids.find([item])[0])
    return source.explain(engine.graph, asking(engine, "user-1", at=later(engine)), [Cause(0, row, "imagined")])[0]


def test_it_is_a_source_that_learns() -> None:
    source: Source = chain_source(chained())
    assert isinstance(source, Learner)
    names = [feature.name for feature in source.features]
    assert names == ["chains_likelihood", "chains_log_likelihood", "chains_nearness", "imagined"]


def test_what_was_imagined_is_proposed_by_credibility_and_bears_its_score() -> None:
    engine, source = with_graph(sorted(BEHIND, key=lambda one: -one[1]))
    proposed = source.propose(engine.graph, asking(engine, "user-1"))[0]
    assert proposed.shape == (CHAINS.propose,)
    names = [engine.graph.item_ids[row] for row in proposed.tolist() if row]
    assert names == ["item-9", "item-12", "item-3"]
    for item, score in BEHIND:
        assert abs(features(engine, source, item)["imagined"] - score / 100) < 1e-6
    assert features(engine, source, "item-5")["imagined"] == 0


def test_an_item_imagined_behind_two_chains_bears_the_better_score() -> None:
    engine, source = with_graph([("item-9", 30.0), ("item-9", 80.0)])
    assert abs(features(engine, source, "item-9")["imagined"] - 0.8) < 1e-6


def test_without_what_a_reason_names_the_item_scores_less() -> None:
    engine, source = with_graph(BEHIND)
    assert told(engine, source, "item-9") == "chain thing number 1 → thing number 4 → thing number 9, verified 0.95"
    without, bare = with_graph([one for one in BEHIND if one[0] != "item-9"])
    assert features(without, bare, "item-9")["imagined"] == 0 < features(engine, source, "item-9")["imagined"]
    assert told(without, bare, "item-9").startswith("is like thing number ")
    for one, there in ((engine, True), (without, False)):
        (made,) = one.recommend(["user-1"], k=100)
        reasons = {item.item_id: item.reasons for item in made.items}
        assert any("verified 0.95" in reason for reason in reasons["item-9"]) == there
    # What nobody has learned yet weighs alike in both engines.
    gates = engine.ranker.gates(torch.zeros(1, 6))[0]
    assert gates.equal(without.ranker.gates(torch.zeros(1, 6))[0])
    at = [feature.name for one in engine.sources for feature in one.features].index("imagined")
    assert float(gates[at]) > 0, "so less of the feature is less of the score"


def test_a_reason_says_what_an_item_is_like_where_no_chain_leads_to_it() -> None:
    engine, source = with_graph(BEHIND)
    rows = engine.graph.item_ids.find([f"item-{n}" for n in range(16)]).tolist()
    stood_near = set()
    for item, row in enumerate(rows):
        if f"item-{item}" in ("item-1", "item-4", "item-9", "item-3", "item-12") or not row:
            continue
        near = source.model.item_vectors(engine.graph.item_ids.find(["item-1", "item-4"]))
        one = source.model.item_vectors(torch.tensor([row]))[0]
        nearest = int((near @ one).argmax())
        stood_near.add(nearest)
        assert (
            told(engine, source, f"item-{item}")
            == (
                "is like thing number 1 of your chains (kind 1)",
                "is like thing number 4 of your chain thing number 1 → thing number 4 (kind 1)",
            )[nearest]
        )
    assert stood_near == {0, 1}


def test_a_reason_tells_the_chain_that_an_item_stands_in() -> None:
    engine, source = with_graph(BEHIND)
    assert told(engine, source, "item-1") == "stands in your chain thing number 1 (kind 1)"
    assert told(engine, source, "item-4") == "stands in your chain thing number 1 → thing number 4 (kind 1)"


@pytest.mark.parametrize("imagined", [BEHIND, BEHIND[:1], []], ids=len)
def test_a_reason_speaks_of_a_chain_to_an_item_just_where_the_graph_has_one(imagined: list[tuple[str, float]]) -> None:
    engine, source = with_graph(imagined)
    made = engine.graph.reasoning.newest(int(engine.graph.user_ids.find(["user-1"])[0]))
    assert made is not None
    for number in range(16):
        said = told(engine, source, f"item-{number}")
        assert said.startswith(("chain ", "stands in ")) == bool(only(made, f"item-{number}").steps), said


def test_a_reason_shows_the_latest_items_of_a_long_chain() -> None:
    engine = after_log()
    came(engine, 400, [f"item-{n}" for n in (0, 1, 2, 3, 8, 10, 10, 11)], [("item-9", 50.0)])
    engine.step([event(500, "bystander", "item-0")], learn=False)
    said = told(engine, chain_source(engine), "item-9")
    assert said == "chain thing number 8 → thing number 10 → thing number 11 → thing number 9, verified 0.50"


def test_a_reason_tells_of_the_graph_that_gave_the_features_and_not_of_one_that_came_since() -> None:
    engine, source = with_graph(BEHIND)
    came(engine, 501, ["item-2"], [("item-7", 50.0)])
    assert features(engine, source, "item-9")["imagined"] > 0.9
    assert told(engine, source, "item-9").startswith("chain thing number 1 →")
    engine.step([event(502, "bystander", "item-0")], learn=False)
    assert features(engine, source, "item-9")["imagined"] == 0
    assert told(engine, source, "item-9") == "is like thing number 2 of your chains (kind 1)"


def test_users_without_a_graph_get_no_reason() -> None:
    engine, source = with_graph(BEHIND)
    causes = [Cause(place, 3, "imagined") for place in range(3)]
    assert source.explain(engine.graph, asking(engine, "user-0", "user-2", "nobody"), causes) == [""] * 3
    assert source.explain(engine.graph, asking(engine, "user-1"), []) == []


def test_graphs_made_by_counting_lead_to_candidates_of_their_own() -> None:
    engine = reasoning(chained())
    for step in cut(LOG, 8):
        engine.step(step)
    users = [f"user-{n}" for n in range(6)]
    source = chain_source(engine)
    assert source.propose(engine.graph, asking(engine, *users, at=later(engine))).any(1).sum() > 2
    lists = engine.recommend(users, later(engine))
    assert "chains" in {item.source for made in lists for item in made.items}
    assert any("your chain" in reason for made in lists for item in made.items for reason in item.reasons)
