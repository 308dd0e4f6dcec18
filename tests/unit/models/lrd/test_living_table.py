"""Numbers and names of latent relations stay with what they were given to, whatever the network does with its slots."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping

import msgspec
import pytest
import torch
from unit.dyngraph.small_logs import cut, random_log
from unit.models.living_parts import LRD, METHOD, SHOP, related, relation_source, relations_of

from dyngraph.engine import Engine
from dyngraph.events import Item
from dyngraph.relations import RelationTable
from models.lrd.living_table import LivingTable
from models.lrd.neighbours import RelationNeighbours
from models.sources.relations import RelationSource

LOG = random_log(96, users=6, items=24, seed=8)
NEVER = msgspec.structs.replace(LRD, name_first=10_000, name_every=10_000)
LATENT = METHOD.latent


def settled(latent: int = LATENT) -> tuple[Engine, RelationSource]:
    """An engine whose neighbours are used by all slots, and which has no table yet."""
    engine = related(msgspec.structs.replace(NEVER, method=msgspec.structs.replace(METHOD, latent=latent)))
    for step in cut(LOG, 8):
        engine.step(step)
    source = relation_source(engine)
    torch.manual_seed(2)
    state = source.model.state()
    drawn = [name for name in state if name.startswith("weight.")]
    source.model.load_state(state | {name: torch.randn_like(state[name]) for name in drawn})
    everything = torch.arange(1, engine.graph.sizes()[1])
    source.model._renew(everything)
    source.neighbours.renew(everything, everything)
    return engine, source


def permuted(engine: Engine, source: RelationSource, order: tuple[int, ...]) -> None:
    """Let slot ``order[k]`` of the network be what slot k was."""
    model = source.model
    at = model.relations.latent_at
    new = torch.arange(len(model.relations))
    new[at:] = at + torch.tensor(order).argsort()
    state = model.state()
    for name in (
        "relation",
        "mixing",
        "posterior.past.weight",
        "posterior.candidate.weight",
        "posterior.candidate.bias",
    ):
        state[f"weight.{name}"] = state[f"weight.{name}"][new].clone()
    model.load_state(state)
    everything = torch.arange(1, engine.graph.sizes()[1])
    model._renew(everything)
    source.neighbours.renew(everything, everything)


def renewed(engine: Engine, table: LivingTable) -> list[str]:
    """What each slot of the network is called after another version."""
    table.renew(engine.graph, engine.graph.horizon.ts, engine.graph.horizon.seq)
    return [table.called(slot) for slot in range(LATENT)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(LATENT)))[1:])
def test_a_number_follows_its_meaning_to_another_slot(order: tuple[int, ...]) -> None:
    engine, source = settled()
    first = renewed(engine, source.table)
    before = source.table.table
    assert before is not None
    assert sorted(slot.usage > 0 for slot in before.slots) == [True] * LATENT
    permuted(engine, source, order)
    second = renewed(engine, source.table)
    assert [second[order[slot]] for slot in range(LATENT)] == first
    after = source.table.table
    assert after is not None and after.version == 2
    for old, new in zip(before.slots, after.slots, strict=True):
        assert (new.embedding, new.usage, new.name) == (old.embedding, old.usage, old.name)
        assert [pair.score for pair in new.pairs] == pytest.approx([pair.score for pair in old.pairs], rel=1e-4)
    # And once more, from where the slots are now.
    assert renewed(engine, source.table) == second


def test_numbers_before_the_first_version_are_those_of_the_network() -> None:
    _, source = settled()
    assert [source.table.called(slot) for slot in range(LATENT)] == [f"latent relation {n}" for n in (1, 2, 3)]
    assert source.table.table is None


def test_a_relation_whose_pairs_say_nothing_any_more_is_still_called_what_it_was() -> None:
    engine, source = settled()
    # A shop in which any two items are alike, or not, by their brand alone.
    engine.graph.catalogue.put([Item(item.item_id, "", item.brand) for item in SHOP])
    renewed(engine, source.table)
    assert source.table.table is not None
    names = [slot.name for slot in source.table.table.slots]
    assert any(names)
    engine.graph.catalogue.put([Item(item.item_id, "") for item in SHOP])
    renewed(engine, source.table)
    assert [slot.name for slot in source.table.table.slots] == names


def test_what_another_relation_is_called_by_now_is_not_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, source = settled()

    def called(*names: str) -> list[str]:
        """The names after a version whose pairs say these."""

        def counted(table: RelationTable, items: Mapping[str, Item]) -> RelationTable:
            slots = zip(table.slots, names, strict=True)
            return msgspec.structs.replace(
                table, slots=tuple(msgspec.structs.replace(slot, name=name) for slot, name in slots)
            )

        monkeypatch.setattr("models.lrd.living_table.named", counted)
        renewed(engine, source.table)
        assert source.table.table is not None
        return [slot.name for slot in source.table.table.slots]

    assert called("both Acme", "refill of", "same shelf") == ["both Acme", "refill of", "same shelf"]
    assert called("refill of", "", "") == ["refill of", "", "same shelf"]
    assert called("", "", "") == ["refill of", "", "same shelf"]


def test_usage_sums_to_one_and_each_item_is_in_two_pairs_at_most() -> None:
    engine, source = settled()
    renewed(engine, source.table)
    table = source.table.table
    assert table is not None
    assert sum(table.usage) == pytest.approx(1)
    for slot in table.slots:
        ends = [end for pair in slot.pairs for end in (pair.past, pair.candidate)]
        assert max(ends.count(end) for end in ends) <= 2
        assert all(pair.past != pair.candidate for pair in slot.pairs)
        scores = [pair.score for pair in slot.pairs]
        assert scores == sorted(scores, reverse=True)


def test_a_collapse_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    engine, source = settled()
    renewed(engine, source.table)
    assert source.table.collapses == 0
    bias = source.model.network.posterior.candidate.bias
    with torch.no_grad():
        bias[source.model.relations.latent_at] += 30
    everything = torch.arange(1, engine.graph.sizes()[1])
    source.model._renew(everything)
    source.neighbours.renew(everything, everything)
    with caplog.at_level(logging.WARNING):
        renewed(engine, source.table)
    assert source.table.collapses == 1
    assert "latent relations have collapsed: 1.00 of 3 in effective use" in caplog.text


def test_the_state_holds_table_places_and_counts() -> None:
    engine, source = settled()
    renewed(engine, source.table)
    permuted(engine, source, (2, 0, 1))
    names = renewed(engine, source.table)
    again = LivingTable(source.model, source.neighbours)
    again.load_state({name: value.clone() for name, value in source.table.state().items()})
    assert again.table == source.table.table
    assert [again.called(slot) for slot in range(LATENT)] == names
    permuted(engine, source, (1, 0, 2))
    assert renewed(engine, again) == renewed(engine, source.table)
    assert again.table == source.table.table


def test_nothing_is_made_where_nothing_is_related() -> None:
    engine, source = settled(latent=0)
    table = LivingTable(source.model, source.neighbours)
    table.renew(engine.graph, 1, 1)
    assert table.table is None
    fresh = related(NEVER)
    fresh.step(LOG[:1])
    table = LivingTable(relations_of(fresh), RelationNeighbours(relations_of(fresh), 4))
    table.renew(fresh.graph, 1, 1)
    assert table.table is None
    again = LivingTable(relations_of(fresh), RelationNeighbours(relations_of(fresh), 4))
    again.load_state({name: value.clone() for name, value in table.state().items()})
    assert again.table is None
