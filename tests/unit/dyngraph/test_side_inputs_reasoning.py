"""Reasoning graphs in the log of side inputs: applied again they give the same state, erased they are nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.intake import Intake
from dyngraph.reasoning import NO_STEP, Imagined, ReasoningGraph, Step
from dyngraph.side_inputs import BLANK, SideInput, TextVector, read_side_inputs
from dyngraph.state import digest

WIDTH = 2
PEOPLE = ("ann", "bob", 'o"neill \\ sons')


def graph(user: str, ts: int, word: str = "rain", **fields: object) -> ReasoningGraph:
    steps = (Step(f"{word} coat", ts, NO_STEP, "opens", word, f"likes “{word}”\nreally", 100.0),)
    imagined = (Imagined(0, f"{word} hat", "", 0.0, "alike", f"{word} again", 12.5),)
    vectors = np.array([[ts, -1]], "<f2").tobytes()
    given: dict[str, object] = {"steps": steps, "imagined": imagined, "concepts": (word,), "vectors": vectors}
    return ReasoningGraph(user, ts, offset=ts, events=ts, producer="endpoint", **(given | fields))  # type: ignore[arg-type]


def empty() -> DynamicGraph:
    made = DynamicGraph(2, 2, text_dim=WIDTH, concept_dim=WIDTH)
    made.user_ids.add(PEOPLE)
    made.item_ids.add(["tea"])
    made.users.grow(len(made.user_ids))
    made.users.last_ts[1:] = made.users.events[1:] = 9  # far enough for every graph here
    return made


def inputs(*graphs: ReasoningGraph) -> list[SideInput]:
    return [SideInput(reasoning=one) for one in graphs]


ENTRIES = [
    *inputs(graph("ann", 3), graph("bob", 4, "sun")),
    SideInput(text=TextVector("tea", bytes(2 * WIDTH))),
    *inputs(graph("ann", 5, "snow")),
    SideInput(item=Item("tea", "Tea")),
    *inputs(graph(PEOPLE[2], 6, "fog"), graph("ann", 8, "hail")),
]


def logged(folder: Path) -> DynamicGraph:
    """A graph that has taken all entries, one by one."""
    made = empty()
    intake = Intake(folder, made, 0)
    for entry in ENTRIES:
        intake.offer([entry])
        intake.take_in()
    assert intake.seen == len(ENTRIES)
    intake.close()
    return made


def of(made: DynamicGraph) -> str:
    return digest(made.reasoning.state() | {f"texts.{name}": value for name, value in made.texts.state().items()})


def test_a_recovery_from_any_border_ends_where_the_first_run_did(tmp_path: Path) -> None:
    whole = logged(tmp_path)
    assert list(read_side_inputs(tmp_path)) == ENTRIES
    for seen in range(len(ENTRIES) + 1):
        again = empty()
        intake = Intake(tmp_path, again, 0)
        intake.follow(seen)
        intake.close()
        snapshot = {name: value.clone() for name, value in again.state().items()}
        restored = DynamicGraph(2, 2, text_dim=WIDTH, concept_dim=WIDTH)
        restored.load_state(snapshot)
        intake = Intake(tmp_path, restored, seen)
        intake.follow(len(ENTRIES))
        assert of(restored) == of(whole)
        assert not restored.reasoning.refused
        intake.close()


def test_each_version_is_something_of_its_own_and_equal_ones_are_written_once(tmp_path: Path) -> None:
    made = empty()
    intake = Intake(tmp_path, made, 0)
    intake.offer(inputs(graph("ann", 3), graph("ann", 4), graph("ann", 4)))
    intake.take_in()
    intake.offer(inputs(graph("ann", 3), graph("ann", 4)))
    intake.take_in()
    assert intake.seen == 2
    assert not made.reasoning.refused, "what is known is not counted: a compact topic is read whole at each start"


def test_what_cannot_be_taken_is_counted_and_not_written(tmp_path: Path) -> None:
    made = empty()
    intake = Intake(tmp_path, made, 0)
    intake.offer(inputs(graph("ann", 5)))
    intake.take_in()
    circle = (Step("tea", 1, 0, "follows", "", "", 5.0),)
    intake.offer(inputs(graph("ann", 4), graph("eve", 5), graph("bob", 5, steps=circle), graph("bob", 6, vectors=b"")))
    intake.take_in()
    assert made.reasoning.refused == {"stale": 1, "stranger": 1, "unfit": 2}
    assert intake.seen == 1
    assert list(read_side_inputs(tmp_path)) == inputs(graph("ann", 5))


def test_two_versions_that_come_the_wrong_way_round_leave_the_newer_one(tmp_path: Path) -> None:
    made = empty()
    intake = Intake(tmp_path, made, 0)
    intake.offer(inputs(graph("ann", 5), graph("ann", 4)))
    intake.take_in()
    kept = made.reasoning.newest(1)
    assert kept is not None and kept.ts == 5
    again = empty()
    Intake(tmp_path, again, 0).follow(intake.seen)
    assert of(again) == of(made)


@pytest.mark.parametrize("name", PEOPLE)
def test_erasing_blanks_all_versions_of_the_user_on_disk_and_nothing_else(tmp_path: Path, name: str) -> None:
    words = {"ann": ("rain", "snow", "hail"), "bob": ("sun",), PEOPLE[2]: ("fog",)}
    logged(tmp_path)
    intake = Intake(tmp_path, empty(), 0)
    intake.offer(inputs(graph(name, 9, "storm"), graph("bob" if name == "ann" else "ann", 9, "calm")))
    intake.forget(name)
    intake.follow(len(ENTRIES))
    intake.take_in()
    intake.close()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    gone = (*words[name], "storm")
    assert not [word for word in gone if word.encode() in everything]
    stay = [word for other in PEOPLE if other != name for word in words[other]] + ["calm"]
    assert all(word.encode() in everything for word in stay)
    left = list(read_side_inputs(tmp_path))
    assert [one == BLANK for one in left[: len(ENTRIES)]] == [entry.of(name) for entry in ENTRIES]


def test_an_erased_user_is_not_there_after_a_recovery_from_before(tmp_path: Path) -> None:
    logged(tmp_path)
    intake = Intake(tmp_path, empty(), 0)
    intake.forget("ann")
    intake.close()
    again = empty()
    intake = Intake(tmp_path, again, 0)
    intake.follow(len(ENTRIES))
    assert again.reasoning.newest(1) is None
    assert again.reasoning.newest(2) == graph("bob", 4, "sun")
