"""Latent relations as a source: partners are proposed and described, and a reason names one that really led there."""

from __future__ import annotations

import msgspec
import pytest
import torch
from unit.dyngraph.small_logs import cut, event, random_log
from unit.models.living_parts import LRD, METHOD, TWINS, asking, related, relation_source

from dyngraph.engine import Engine
from dyngraph.protocols import Cause, Learner, Source
from dyngraph.state import digest
from models.sources.relations import GUESSED, PLACE_DECAY, RelationSource

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


def told(engine: Engine, source: RelationSource, user: str, feature: str) -> list[tuple[int, str, int]]:
    """Item row, relation's name and place in the past of every reason that there is for one user."""
    queries = asking(engine, user)
    past = [engine.graph.catalogue.title(engine.graph.item_ids[row]) for row in source._asked(queries).past[0].tolist()]
    rows = range(1, engine.graph.sizes()[1])
    said = source.explain(engine.graph, queries, [Cause(0, row, feature) for row in rows])
    parts = [(row, reason.removeprefix("relation ").rsplit(" to ", 1)) for row, reason in zip(rows, said, strict=True)]
    return [(row, part[0], past.index(part[1])) for row, part in parts if len(part) == 2]


def test_a_reason_names_what_adds_most_to_the_score(engine: Engine, source: RelationSource) -> None:
    for user in ("user-1", "user-3"):
        asked = source._asked(asking(engine, user))
        reasons = told(engine, source, user, "relations_likelihood")
        assert len(reasons) > 10
        for row, relation, place in reasons:
            item = torch.tensor([[row]])
            added = source.model.contributions(asked, item[0])[0]
            number = int(added.max(1).values.argmax())
            assert relation == source.called(number)
            assert float(added[number].max()) > 0
            twins = engine.graph.item_ids.find(TWINS).tolist()
            if int(asked.past[0, place]) in twins:
                continue  # two items of one title: which is meant cannot be read off the reason
            assert float(added[number, place]) == float(added.max())


def test_a_reason_for_a_relations_strength_names_the_strongest_pair(engine: Engine, source: RelationSource) -> None:
    seen = 0
    for user in (f"user-{n}" for n in range(6)):
        queries = asking(engine, user)
        asked = source._asked(queries)
        reasons = told(engine, source, user, "relation_strength")
        described = source.describe(engine.graph, queries, torch.arange(engine.graph.sizes()[1]).unsqueeze(0))[0, :, 3]
        assert {row for row, _, _ in reasons} == set(described.nonzero().squeeze(1).tolist())
        for row, relation, place in reasons:
            if int(asked.past[0, place]) in engine.graph.item_ids.find(TWINS).tolist():
                continue
            kept = source.neighbours.of(asked.past[0, place : place + 1])
            at = kept.items[0].tolist().index(row)
            assert relation == source.table.called(int(kept.relation[0, at]))
            assert float(kept.strength[0, at]) * PLACE_DECAY**place == pytest.approx(float(described[row]))
            # Without the item that is named nothing as strong is left.
            without = asking(engine, user)
            without.memo[source.name] = asked._replace(past=asked.past * (torch.arange(asked.past.shape[1]) != place))
            assert float(source.describe(engine.graph, without, torch.tensor([[row]]))[0, 0, 3]) <= float(
                described[row]
            )
            seen += 1
    assert seen > 20


def test_nothing_is_told_where_nothing_leads_to_the_item(engine: Engine, source: RelationSource) -> None:
    stranger = asking(engine, "nobody")
    assert source.explain(engine.graph, stranger, [Cause(0, 3, "relations_likelihood")]) == [""]
    assert source.explain(engine.graph, stranger, [Cause(0, 3, "relation_strength")]) == [""]
    assert source.explain(engine.graph, stranger, []) == []


def test_partners_of_items_name_the_relation_and_come_in_order(engine: Engine, source: RelationSource) -> None:
    rows = list(range(1, engine.graph.sizes()[1]))
    kept = source.neighbours.of(torch.tensor(rows))
    for row, found in zip(rows, source.partners(rows, 3), strict=True):
        assert [other for other, _, _ in found] == kept.items[row - 1, : len(found)].tolist()
        assert [strength for _, _, strength in found] == [
            GUESSED * strength for strength in kept.strength[row - 1, : len(found)].tolist()
        ]
        slots = kept.relation[row - 1, : len(found)].tolist()
        assert [name for _, name, _ in found] == [source.table.called(slot) for slot in slots]
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


def test_without_latent_relations_nothing_is_proposed_and_known_ones_are_told() -> None:
    engine = related(msgspec.structs.replace(LRD, method=msgspec.structs.replace(METHOD, latent=0)))
    for step in cut(LOG[:80], 8):
        engine.step(step)
    source = relation_source(engine)
    queries = asking(engine, "user-1")
    assert not source.propose(engine.graph, queries).any()
    assert source.partners([1, 2], 3) == [[], []]
    rows = range(1, engine.graph.sizes()[1])
    said = source.explain(engine.graph, queries, [Cause(0, row, "relations_likelihood") for row in rows])
    assert any(said) and all(
        one.startswith(("relation ‘together’", "relation ‘category’", "relation ‘brand’")) for one in said if one
    )
    assert not any(source.explain(engine.graph, queries, [Cause(0, row, "relation_strength") for row in rows]))
