"""Latent relations as a source: partners are proposed and described, and a reason names one that really led there."""

from __future__ import annotations

import msgspec
import pytest
import torch
from unit.dyngraph.small_logs import cut, event, random_log
from unit.models.living_parts import LRD, asking, related, relation_source

from dyngraph.engine import Engine
from dyngraph.protocols import Cause, Learner, Source
from dyngraph.state import digest
from models.lrd.capture import pick
from models.sources.relations import PLACE_DECAY, RelationSource

LOG = random_log(160, users=6, items=24, seed=7)


@pytest.fixture(scope="module")
def engine() -> Engine:
    made = related()
    for step in cut(LOG, 8):
        made.step(step)
    return made


@pytest.fixture(scope="module")
def source(engine: Engine) -> RelationSource:
    return relation_source(engine)


def test_it_is_a_source_that_learns(source: RelationSource) -> None:
    plain: Source = source
    assert isinstance(plain, Learner)
    assert [feature.name for feature in source.features] == [
        "relations_likelihood",
        "relations_log_likelihood",
        "relations_nearness",
        "relation_strength",
    ]


def test_the_partners_of_the_latest_items_are_proposed_by_strength_and_lateness(
    engine: Engine, source: RelationSource
) -> None:
    for user in range(6):
        queries = asking(engine, f"user-{user}")
        past = source._asked(queries).past[0]
        weighed = []
        for place, row in enumerate(past.tolist()):
            found = source.neighbours.of(torch.tensor([row]))
            pairs = zip(found.items[0].tolist(), found.strength[0].tolist(), strict=True)
            weighed += [(strength * PLACE_DECAY**place, item) for item, strength in pairs if item]
        best = [item for _, item in sorted(weighed, key=lambda one: -one[0])][: LRD.propose]
        assert source.propose(engine.graph, queries)[0].tolist()[: len(best)] == best


def test_relation_strength_is_that_of_the_strongest_partner(engine: Engine, source: RelationSource) -> None:
    queries = asking(engine, "user-0", "user-3", "nobody")
    items = torch.arange(engine.graph.sizes()[1]).expand(3, -1)
    described = source.describe(engine.graph, queries, items)
    assert described.shape == (3, items.shape[1], 4)
    assert (described >= 0).all() and (described <= 1).all()
    expected = torch.zeros(3, items.shape[1])
    for query, past in enumerate(source._asked(queries).past.tolist()):
        for place, row in enumerate(past):
            found = source.neighbours.of(torch.tensor([row]))
            for item, strength in zip(found.items[0].tolist(), found.strength[0].tolist(), strict=True):
                if item:
                    expected[query, item] = max(float(expected[query, item]), strength * PLACE_DECAY**place)
    torch.testing.assert_close(described[:, :, 3], expected)
    assert not described[2, :, 3].any(), "a stranger has no past"
    assert not described[:, 0].any(), "the null row has nothing"


def test_the_likeliest_candidate_is_the_one_with_the_highest_score(engine: Engine, source: RelationSource) -> None:
    queries = asking(engine, "user-2")
    items = torch.arange(1, engine.graph.sizes()[1]).unsqueeze(0)
    described = source.describe(engine.graph, queries, items)[0]
    scores = source.model.scores(source._asked(queries), items)[0]
    for column in range(3):
        assert int(described[:, column].argmax()) == int(scores.argmax())
    assert float(described[:, 0].max()) == float(described[:, 2].max()) == 1.0


@pytest.mark.parametrize("feature", ["relations_likelihood", "relation_strength"])
def test_without_the_item_that_a_reason_names_the_feature_falls(
    engine: Engine, source: RelationSource, feature: str
) -> None:
    titles = {engine.graph.catalogue.title(name): name for name in engine.graph.item_ids._ids if name}
    told = 0
    for user in range(6):
        queries = asking(engine, f"user-{user}")
        asked = source._asked(queries)
        items = torch.arange(1, engine.graph.sizes()[1])
        causes = [Cause(0, row, feature) for row in items.tolist()]
        for row, reason in zip(items.tolist(), source.explain(engine.graph, queries, causes), strict=True):
            if not reason:
                continue
            relation, title = reason.removeprefix("relation ").rsplit(" to ", 1)
            (slot,) = (asked.past[0] == engine.graph.item_ids.find([titles[title]])).nonzero()[0].tolist()
            fewer = asking(engine, f"user-{user}")
            past = torch.cat((asked.past[:, :slot], asked.past[:, slot + 1 :]), dim=1)
            minutes = torch.cat((asked.minutes[:, :slot], asked.minutes[:, slot + 1 :]), dim=1)
            item = torch.tensor([[row]])
            if feature == "relation_strength":
                fewer.memo[source.name] = asked._replace(past=past, minutes=minutes)
                whole, less = (source.describe(engine.graph, one, item)[0, 0, 3] for one in (queries, fewer))
                strongest = source.neighbours.of(asked.past[0, slot : slot + 1])
                latent = int(strongest.relation[strongest.items == row][0])
                assert relation == source.table.called(latent)
                # The one that stands a place later may be as strong: what is left moves up by one place.
                assert float(less) <= float(whole) / PLACE_DECAY
                assert float(strongest.strength.max()) * PLACE_DECAY**slot >= float(whole) - 1e-6
            else:
                added = source.model.contributions(pick(asked, torch.tensor([0])), item[0])[0]
                names = [source.called(number) for number in range(len(added))]
                assert float(added[names.index(relation), slot]) == pytest.approx(float(added.max()))
                assert float(added.max()) > 0
            told += 1
    assert told > 20


def test_nothing_is_told_where_nothing_leads_to_the_item(engine: Engine, source: RelationSource) -> None:
    stranger = asking(engine, "nobody")
    assert source.explain(engine.graph, stranger, [Cause(0, 3, "relations_likelihood")]) == [""]
    assert source.explain(engine.graph, stranger, [Cause(0, 3, "relation_strength")]) == [""]
    assert source.explain(engine.graph, stranger, []) == []


def test_partners_of_items_name_the_relation_and_come_in_order(engine: Engine, source: RelationSource) -> None:
    rows = list(range(1, engine.graph.sizes()[1]))
    for row, found in zip(rows, source.partners(rows, 3), strict=True):
        assert 0 < len(found) <= 3
        strengths = [strength for _, _, strength in found]
        assert strengths == sorted(strengths, reverse=True) and all(0 < one <= 1 for one in strengths)
        assert row not in [other for other, _, _ in found]
        names = {source.table.called(slot) for slot in range(LRD.method.latent)}
        assert {name for _, name, _ in found} <= names
    assert source.partners([], 3) == []


def test_as_many_items_are_renewed_as_events_pay_for() -> None:
    engine = related(msgspec.structs.replace(LRD, renew_every=4, name_first=10_000))
    source = relation_source(engine)
    renewed: list[list[int]] = []
    plain = source.neighbours.renew

    def noting(items: torch.Tensor, looked_at: torch.Tensor) -> None:
        renewed.append(items.tolist())
        plain(items, looked_at)

    source.neighbours.renew = noting  # type: ignore[method-assign]
    engine.step([event(seq, "ann", f"item-{seq}") for seq in range(20)], learn=False)
    renewed.clear()
    for seq in range(20, 60):
        engine.step([event(seq, f"user-{seq}", f"item-{seq % 20}")], learn=False)
    assert [len(items) for items in renewed] == [1] * 10, "every fourth event pays for one"
    assert all(items == [(seq % 20) + 1] for items, seq in zip(renewed, range(23, 60, 4), strict=True))
    engine.step([event(100 + n, "bob", "item-1") for n in range(40)], learn=False)
    assert 2 in renewed[-1] and len(renewed[-1]) >= 9, "the rest goes round the catalogue"


def test_the_first_table_comes_early_and_others_later() -> None:
    engine = related(msgspec.structs.replace(LRD, name_first=16, name_every=48))
    versions = []
    for step in cut(LOG, 8):
        engine.step(step, learn=False)
        table = relation_source(engine).table.table
        versions.append((table.version, table.offset) if table is not None else (0, 0))
    changes = [one for number, one in enumerate(versions) if not number or one != versions[number - 1]]
    assert changes == [(0, 0), (1, 15), (2, 63), (3, 111), (4, 159)]


def test_whose_turn_it_is_survives_a_restart(engine: Engine) -> None:
    source = relation_source(engine)
    fresh = relation_source(related())
    state = {name: value.clone() for name, value in source.state().items()}
    fresh.load_state(state)
    assert digest(fresh.state()) == digest(state)
    assert (fresh._due, fresh._next, fresh._since) == (source._due, source._next, source._since)
