"""What a language model calls the relations of a version is what reasons call them, while that version stands."""

from __future__ import annotations

import msgspec
import pytest
from unit.dyngraph.small_logs import cut, random_log
from unit.models.living_parts import LRD, METHOD, copied, related, relation_source

from dyngraph.engine import Engine
from dyngraph.relations import RelationNames
from models.lrd.living_table import LivingTable

LOG = random_log(96, users=6, items=24, seed=8)
LATENT = METHOD.latent
SAID = ("refill of", "", "worn with")


@pytest.fixture(scope="module")
def engine() -> Engine:
    """One whose table has a version and will have no other by itself."""
    made = related(msgspec.structs.replace(LRD, name_first=40, name_every=10_000))
    for step in cut(LOG[:80], 8):
        made.step(step)
    return made


@pytest.fixture
def table(engine: Engine) -> LivingTable:
    """A table with a version, and nothing from outside."""
    source = relation_source(engine)
    made = LivingTable(source.model, source.neighbours)
    made.load_state({name: value.clone() for name, value in source.table.state().items()})
    assert made.table is not None and made.table.version == 1
    return made


def called(table: LivingTable) -> list[str]:
    """By number."""
    slots = [table._place_of.index(place) for place in range(LATENT)]
    return [table.called(slot) for slot in slots]


def names(table: LivingTable, said: tuple[str, ...] = SAID, **of: int) -> RelationNames:
    """Names for the table's version as it is, or for one that differs from it in this."""
    assert table.table is not None
    version, ts, offset = msgspec.structs.replace(table.table, **of).mark
    return RelationNames(0, version, said, "endpoint", ts, offset)


def test_given_names_are_told_and_where_there_is_none_the_counted_one(table: LivingTable) -> None:
    counted = called(table)
    table.take(names(table))
    assert called(table) == ["‘refill of’ (latent relation 1)", counted[1], "‘worn with’ (latent relation 3)"]
    assert table.table is not None and table.shown is not None
    own = table.table.slots[1].name
    assert [slot.name for slot in table.shown.slots] == ["refill of", own, "worn with"]
    assert table.shown.embeddings().tolist() == table.table.embeddings().tolist()
    assert "refill of" not in [slot.name for slot in table.table.slots], "what is published stays counted"
    assert not table.refused
    table.take(None)
    assert called(table)[0] == "‘refill of’ (latent relation 1)"


def test_a_name_may_begin_as_numbers_do(table: LivingTable) -> None:
    table.take(names(table, ("latent heat of", "", "")))
    assert called(table)[0] == "‘latent heat of’ (latent relation 1)"


@pytest.mark.parametrize(
    ("said", "of", "why"),
    [
        (SAID, {"version": 2}, "stale"),
        # A shard that lost its state counts versions from 1 again, over other relations.
        (SAID, {"ts": 1}, "stale"),
        (SAID, {"offset": 4_000}, "stale"),
        (("refill of",), {}, "another_k"),
    ],
)
def test_names_of_another_table_or_another_k_are_counted_and_not_told(
    table: LivingTable, said: tuple[str, ...], of: dict[str, int], why: str
) -> None:
    counted, given = called(table), names(table, said, **of)
    for _ in range(3):
        table.take(given)
    assert called(table) == counted and table.shown == table.table
    assert table.refused == {why: 1}, "once, however often it is seen"


def test_names_stand_until_the_next_version(engine: Engine, table: LivingTable) -> None:
    table.take(names(table))
    table.renew(engine.graph, engine.graph.horizon.ts, engine.graph.horizon.seq)
    assert table.table is not None and table.table.version == 2
    assert not any("refill of" in name for name in called(table))
    table.take(names(table))
    assert called(table)[0] == "‘refill of’ (latent relation 1)"


def test_the_state_holds_given_names(engine: Engine, table: LivingTable) -> None:
    table.take(names(table))
    source = relation_source(engine)
    again = LivingTable(source.model, source.neighbours)
    again.load_state({name: value.clone() for name, value in table.state().items()})
    assert called(again) == called(table)


def test_a_step_takes_the_names_of_the_graph_and_a_restart_keeps_them(engine: Engine) -> None:
    fresh = copied(engine, relations=msgspec.structs.replace(LRD, name_first=40, name_every=10_000))
    source = relation_source(fresh)
    given = names(source.table)
    fresh.graph.relation_names.put(given)
    assert "‘refill of’ (latent relation 1)" not in called(source.table), "not before the next step"
    fresh.step(LOG[80:88])
    assert called(source.table)[0] == "‘refill of’ (latent relation 1)"
    again = copied(fresh, relations=msgspec.structs.replace(LRD, name_first=40, name_every=10_000))
    assert called(relation_source(again).table) == called(source.table)
    assert again.graph.relation_names.newest == given
