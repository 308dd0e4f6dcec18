"""Names of latent relations enter a shard's graph as side inputs: written down, applied once, part of the state."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dyngraph.graph import DynamicGraph
from dyngraph.intake import Intake
from dyngraph.relations import RelationNames, RelationTable
from dyngraph.side_inputs import SideInput, read_side_inputs
from dyngraph.state import digest

FIRST = RelationNames(0, 3, ("refill of", ""), "endpoint", ts=1_000, offset=17)
SECOND = RelationNames(0, 4, ("refill of", "both OPI"), ts=2_000, offset=30)


def taken(intake: Intake, *names: RelationNames) -> None:
    intake.offer(SideInput(relation_names=one) for one in names)
    intake.take_in()


def test_names_are_written_down_once_and_found_again_after_a_crash(tmp_path: Path) -> None:
    graph = DynamicGraph(2, 2)
    without = digest(graph.state())
    assert not [name for name in graph.state() if "relation_names" in name]
    intake = Intake(tmp_path, graph, 0)
    taken(intake, FIRST)
    assert graph.relation_names.newest == FIRST and digest(graph.state()) != without
    taken(intake, FIRST)
    assert intake.seen == 1, "what is known already is not written down again"
    taken(intake, FIRST, SECOND)
    assert graph.relation_names.newest == SECOND and intake.seen == 2, "of names that wait the later count"
    intake.close()
    assert [one.relation_names for one in read_side_inputs(tmp_path)] == [FIRST, SECOND]

    again = DynamicGraph(2, 2)
    replay = Intake(tmp_path, again, 0)
    replay.follow(1)
    assert again.relation_names.newest == FIRST
    replay.follow(2)
    assert digest(again.state()) == digest(graph.state())
    replay.forget("anna")
    assert [one.relation_names for one in read_side_inputs(tmp_path)] == [FIRST, SECOND]
    replay.close()


def test_names_written_down_before_horizons_were_are_those_of_no_table() -> None:
    old = b'{"relation_names":{"partition":0,"version":3,"names":["refill of",""],"producer":"endpoint"}}'
    found = msgspec.json.decode(old, type=SideInput).relation_names
    assert found == RelationNames(0, 3, FIRST.names, "endpoint") and found.made_for != FIRST.made_for
    assert FIRST.made_for == RelationTable(3, 1_000, 17, (), "").mark


def test_names_survive_a_snapshot() -> None:
    graph, empty = DynamicGraph(2, 2), DynamicGraph(2, 2)
    graph.relation_names.put(SECOND)
    again = DynamicGraph(2, 2)
    again.load_state({name: value.clone() for name, value in graph.state().items()})
    assert again.relation_names.newest == SECOND
    again.load_state({name: value.clone() for name, value in empty.state().items()})
    assert again.relation_names.newest is None
