"""Relation neighbours: the strongest partners of those that were looked at, each once, and never the item itself."""

from __future__ import annotations

import msgspec
import pytest
import torch
from torch import Tensor
from unit.models.living_parts import LRD, METHOD, SHOP, texts

from dyngraph.graph import DynamicGraph
from dyngraph.met import MetItems
from dyngraph.state import digest
from models.lrd.neighbours import RelationNeighbours
from models.lrd.online import OnlineRelations

ITEMS = len(SHOP)
ALL = torch.arange(1, ITEMS + 1)
MOST = 4


def model(latent: int = 3, seed: int = 0) -> OnlineRelations:
    """With arbitrary weights and rows."""
    graph = DynamicGraph(2, 2, text_dim=METHOD.text_dim)
    graph.item_ids.add([item.item_id for item in SHOP])
    graph.texts.put(texts())
    made = OnlineRelations(
        msgspec.structs.replace(LRD, method=msgspec.structs.replace(METHOD, latent=latent)), graph.texts, MetItems()
    )
    made.grow(2, ITEMS + 1)
    torch.manual_seed(seed)
    state = made.state()
    drawn = [name for name in state if name.startswith("weight.") or name == "residuals.vectors"]
    made.load_state(state | {name: torch.randn_like(state[name]) for name in drawn})
    made.follow(graph, ALL)
    return made


def neighbours(of: OnlineRelations) -> RelationNeighbours:
    made = RelationNeighbours(of, MOST)
    made.grow(ITEMS + 1)
    return made


def rows(of: RelationNeighbours) -> list[list[int]]:
    return [[row for row in partners if row] for partners in of.of(ALL).items.tolist()]


@pytest.fixture
def made() -> RelationNeighbours:
    return neighbours(model())


def test_a_strength_is_the_posteriors_share_times_the_reconstruction(made: RelationNeighbours) -> None:
    network = made._model
    past, candidate = 3, 9
    strength, relation = made.strengths(torch.tensor([past]), torch.tensor([[candidate]]))
    with torch.no_grad():
        at = network.relations.latent_at
        halves = network.past_halves(torch.tensor(past)) + network.candidate_halves(torch.tensor(candidate))
        q = torch.softmax(halves, dim=0)[at:]
        v, w = network.vectors(torch.tensor(past)), network.vectors(torch.tensor(candidate))
        score = torch.stack([(v * w * r).sum() + (v * r).sum() + (w * r).sum() for r in network.network.relation[at:]])
        expected = q * torch.sigmoid(score)
    torch.testing.assert_close(strength[0, 0], expected.max())
    assert int(relation[0, 0]) == int(expected.argmax())


def test_looking_at_everything_finds_the_strongest(made: RelationNeighbours) -> None:
    made.renew(ALL, ALL)
    strength, relation = made.strengths(ALL, ALL.expand(ITEMS, -1))
    strength.fill_diagonal_(-1)
    best = strength.topk(MOST, dim=1)
    found = made.of(ALL)
    assert found.items.equal(best.indices + 1)
    torch.testing.assert_close(found.strength, best.values)
    assert found.relation.equal(relation.gather(1, best.indices))
    assert ((found.strength > 0) & (found.strength <= 1)).all()


def test_partners_are_distinct_others_in_falling_order_however_often_they_are_looked_at(
    made: RelationNeighbours,
) -> None:
    generator = torch.Generator().manual_seed(2)
    for _ in range(30):
        chosen = ALL[torch.randperm(ITEMS, generator=generator)[:5]]
        looked_at = torch.randint(0, ITEMS + 1, (9,), generator=generator)
        before = made.of(ALL)
        made.renew(chosen, torch.cat((looked_at, looked_at)))
        after = made.of(ALL)
        others = ~(ALL.unsqueeze(1) == chosen).any(1)
        assert after.items[others].equal(before.items[others]), "nobody else was renewed"
        for item, partners, strength in zip(ALL.tolist(), after.items.tolist(), after.strength.tolist(), strict=True):
            there = [row for row in partners if row]
            assert item not in there
            assert len(set(there)) == len(there)
            assert strength == sorted(strength, reverse=True)
            assert [value > 0 for value in strength] == [row > 0 for row in partners], "the empty places come last"


def test_what_is_kept_gives_way_only_to_what_is_stronger(made: RelationNeighbours) -> None:
    one = torch.tensor([1])
    made.renew(one, torch.arange(2, 12))
    kept = made.of(one)
    made.renew(one, torch.tensor([0]))
    again = made.of(one)
    assert again.items.equal(kept.items)
    torch.testing.assert_close(again.strength, kept.strength)
    made.renew(one, torch.arange(12, ITEMS + 1))
    whole = neighbours(made._model)
    whole.renew(one, ALL)
    assert made.of(one).items.equal(whole.of(one).items), "in two looks as in one"


def test_renewing_is_the_same_each_time_and_after_a_restart(made: RelationNeighbours) -> None:
    made.renew(ALL[:9], ALL[5:])
    again = neighbours(made._model)
    again.load_state({name: value.clone() for name, value in made.state().items()})
    for one in (made, again):
        one.renew(ALL, ALL[3:15])
    assert digest(again.state()) == digest(made.state())


def test_usage_sums_to_one_once_there_is_a_pair(made: RelationNeighbours) -> None:
    assert made.usage().tolist() == [0.0] * 3
    made.renew(ALL, ALL)
    usage = made.usage()
    assert float(usage.sum()) == pytest.approx(1)
    kept = made.of(ALL)
    counts = torch.bincount(kept.relation[kept.items > 0], minlength=3)
    torch.testing.assert_close(usage, counts / counts.sum())


def test_the_strongest_pairs_of_a_relation_are_of_it_and_in_order(made: RelationNeighbours) -> None:
    made.renew(ALL, ALL)
    kept = made.of(ALL)
    for relation in range(3):
        pairs = made.strongest(relation, 7)
        mine = kept.strength[(kept.relation == relation) & (kept.items > 0)].sort(descending=True).values
        torch.testing.assert_close(torch.tensor([value for _, _, value in pairs]), mine[:7])
        for past, partner, value in pairs:
            place = kept.items[past - 1].tolist().index(partner)
            assert float(kept.strength[past - 1, place]) == value
            assert int(kept.relation[past - 1, place]) == relation


def test_rows_come_and_go(made: RelationNeighbours) -> None:
    made.renew(ALL, ALL)
    before = digest(made.state())
    made.grow(ITEMS + 40)
    assert rows(made) and not made.of(torch.tensor([ITEMS + 20])).items.any()
    made.truncate(ITEMS + 1)
    assert digest(made.state()) == before


def test_without_latent_relations_nobody_has_partners() -> None:
    none = neighbours(model(latent=0))
    none.renew(ALL, ALL)
    assert not any(rows(none))
    assert none.usage().tolist() == []


def test_the_only_item_of_a_shop_has_no_partner(made: RelationNeighbours) -> None:
    one: Tensor = torch.tensor([1])
    made.renew(one, one)
    assert not made.of(one).items.any() and not made.of(one).strength.any()
