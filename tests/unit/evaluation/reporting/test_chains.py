"""Reasoning graphs for people: the same graph as a tree, a document and a picture."""

from __future__ import annotations

import itertools
import json
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from dyngraph.reasoning import NO_STEP, Imagined, ReasoningGraph, Step
from evaluation.reporting.chain_pictures import MOST_IMAGINED, MOST_STEPS, chain_picture, save_picture
from evaluation.reporting.chains import chain_document, chain_tree, only

TITLES = {"red": "Red polish", "blue": "Blue polish", "comb": "Wooden comb", "top": "Top coat", "long": "x " * 300}
STEPS = (
    Step("red", 1_000, -1, "opens", "Nail Polish", "Nothing leads to it.", 100),
    Step("comb", 2_000, -1, "opens", "", "Nothing leads to it.", 100),
    Step("blue", 3_000, 0, "follows", "Nail Polish", "Others took both.", 71.26),
    Step("long", 4_000, 0, "alike", "$x$ & <b>", "[bold]\x1b[31mboth[/bold]", 30),
)
IMAGINED = (
    Imagined(2, "Top coat", "top", 1.0, "follows", "It protects.", 88),
    Imagined(1, "Space suit", "", 0.0, "sudden", "Who knows.", 0),
)
GRAPH = ReasoningGraph(
    "anna", 4_000, 7, 4, STEPS, IMAGINED, ("Nail Polish", "$x$ & <b>"), b"", "statistical", "evidence"
)
EMPTY = ReasoningGraph("berta", 0, -1, 0, (), (), (), b"", "statistical")


def named(item_id: str) -> str:
    return TITLES.get(item_id, "")


def printed(graph: ReasoningGraph, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(chain_tree(graph, named))
    return console.export_text()


def test_the_tree_shows_each_item_under_the_one_it_came_from_with_reason_and_score() -> None:
    lines = printed(GRAPH).splitlines()
    assert lines[0].startswith("anna  4 events until 1970-01-01 00:00, by statistical (evidence)")
    depth = {
        name: next(line for line in lines if name in line).index(name) for name in ("Red", "Blue", "? Top", "Wooden")
    }
    assert depth["Red"] == depth["Wooden"] < depth["Blue"] < depth["? Top"]
    text = printed(GRAPH)
    for part in ("[Nail Polish]", "follows, 71 of 100", "Others took both.", "follows, 88 of 100", "It protects."):
        assert part in text
    assert "? Space suit  nothing like it in the catalogue" in text
    assert "no chains" in printed(EMPTY)


def linked(sources: Sequence[int], relation: str = "follows") -> ReasoningGraph:
    """Steps that come from ``sources``, under names of nine letters that no other line has."""
    steps = tuple(
        Step(f"thing-{at:03}", at, source, "opens" if source == NO_STEP else relation, "", f"Why {at:03}.", 100)
        for at, source in enumerate(sources)
    )
    return ReasoningGraph("u", 99, -1, len(steps), steps, (), (), b"", "statistical")


def indents(graph: ReasoningGraph) -> dict[int, int]:
    """At which column each step's line of a tree of 80 columns begins, the arrow apart."""
    found = {}
    for line in printed(graph, 80).splitlines():
        if match := re.search(r"(↓ )?thing-(\d{3})  1970-01-01 00:00", line):
            found[int(match[2])] = match.start()
    return found


def test_a_chain_goes_on_at_its_indent_however_long_it_is() -> None:
    graph = linked(range(-1, 63))
    assert indents(graph) == dict.fromkeys(range(64), 4)
    text = printed(graph, 80)
    assert text.count("↓ thing-") == 63 and all(f"Why {at:03}." in text for at in range(1, 64))


def test_where_a_chain_branches_the_longest_branch_goes_on_and_the_others_are_indented() -> None:
    assert indents(linked([-1, 0, 0, 1, -1, 3, 2])) == {0: 4, 2: 8, 6: 8, 1: 4, 3: 4, 5: 4, 4: 4}
    lines = printed(linked([-1, 0, 0, 1])).splitlines()
    order = [line[line.index("thing-") :][:9] for line in lines if "thing-" in line]
    assert order == ["thing-000", "thing-002", "thing-001", "thing-003"], "what goes on stands below what branches off"


@pytest.mark.parametrize(
    "sources",
    [
        [-1, *(at - at % 2 for at in range(63))],  # a comb: every second step has one more behind it
        [(at - 1) // 2 if at else -1 for at in range(64)],  # each has two behind it
        [at & (at - 1) if at else -1 for at in range(64)],  # binomial
    ],
    ids=["comb", "halves", "binomial"],
)
def test_every_step_is_shown_however_much_branches(sources: list[int]) -> None:
    graph = linked(sources)
    found = indents(graph)
    assert sorted(found) == list(range(64)), "each on one line that is not broken"
    assert max(found.values()) <= 4 * 6


def test_what_was_not_tested_has_no_score() -> None:
    steps = (*STEPS, Step("red", 4_000, 0, "again", "", "Red polish once more.", 100))
    graph = msgspec.structs.replace(GRAPH, steps=steps)
    text = printed(graph)
    assert "opens, not tested" in text and "again, not tested" in text and "100 of 100" not in text
    links = chain_document(graph, named)["links"]
    assert [(link["to"], link["verified"], link["score"]) for link in links] == [
        ("s2", True, 71.3), ("s3", True, 30), ("s4", False, None), ("i0", True, 88), ("i1", False, None),
    ]  # fmt: skip
    drawn = [text.get_text() for text in chain_picture(graph, named).axes[0].texts]
    assert "not tested" in drawn and "100" not in drawn
    assert graph.steps[4].score == 100


def test_texts_of_strangers_stay_texts() -> None:
    text = printed(GRAPH)
    assert "\x1b" not in text and "[bold]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_document_holds_all_of_the_graph() -> None:
    document = json.loads(json.dumps(chain_document(GRAPH, named)))
    assert {key: document[key] for key in ("user_id", "ts", "offset", "events")} == {
        "user_id": "anna", "ts": 4_000, "offset": 7, "events": 4,
    }  # fmt: skip
    nodes = {node["id"]: node for node in document["nodes"]}
    assert len(nodes) == len(document["nodes"]) == 4 + 2 + 2
    assert nodes[nodes["s2"]["concept"]]["name"] == "Nail Polish"
    assert nodes["s0"]["concept"] == nodes["s2"]["concept"] and nodes["s1"]["concept"] is None
    assert [(link["from"], link["to"], link["score"]) for link in document["links"]] == [
        ("s0", "s2", 71.3), ("s0", "s3", 30), ("s2", "i0", 88), ("s1", "i1", None),
    ]  # fmt: skip
    assert (nodes["i0"]["item_id"], nodes["i1"]["item_id"]) == ("top", "")
    assert document["chains"] == [["s1"], ["s0", "s2"], ["s0", "s3"]]
    assert chain_document(EMPTY, named)["nodes"] == []


def test_only_what_has_to_do_with_an_item_is_left() -> None:
    part = only(GRAPH, "top")
    assert [(step.item_id, step.came_from) for step in part.steps] == [("red", -1), ("blue", 0)]
    assert [(idea.item_id, idea.step) for idea in part.imagined] == [("top", 1)]
    part = only(GRAPH, "comb")
    assert [step.item_id for step in part.steps] == ["comb"]
    assert [idea.name for idea in part.imagined] == ["Space suit"]
    assert [step.item_id for step in only(GRAPH, "red").steps] == ["red", "blue", "long"]
    assert only(GRAPH, "no such item").steps == ()


def chain(length: int, branching: int = 0) -> ReasoningGraph:
    """A long one, where every ``branching``-th step opens a chain."""
    steps = tuple(
        Step(f"i{at}", at, -1 if branching and at % branching == 0 else at - 1, "follows", "c", "r", 50)
        for at in range(length)
    )
    imagined = tuple(Imagined(length - 1, f"n{at}", f"n{at}", 1.0, "follows", "r", 50) for at in range(12))
    return ReasoningGraph("u", 1, -1, length, steps, imagined, ("c",), b"", "statistical")


@pytest.mark.parametrize("graph", [GRAPH, EMPTY, chain(50), chain(50, 1), chain(40, 7)], ids=str)
def test_boxes_do_not_lie_on_each_other_and_stay_on_the_paper(graph: ReasoningGraph) -> None:
    figure = chain_picture(graph, named)
    axes = figure.axes[0]
    boxes = [patch.get_bbox() for patch in axes.patches]
    stubs = sum("earlier step" in text.get_text() for text in axes.texts)
    assert len(boxes) == min(len(graph.steps), MOST_STEPS) + min(len(graph.imagined), MOST_IMAGINED) + stubs
    for one, other in itertools.combinations(boxes, 2):
        apart = one.x1 < other.x0 or other.x1 < one.x0 or one.y1 < other.y0 or other.y1 < one.y0
        assert apart
    width, height = figure.get_size_inches()
    assert all(box.x0 > 0 and box.x1 < width and box.y0 > 0 and box.y1 < height for box in boxes)


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (chain(50), ["… 26 earlier steps"]),
        (chain(40, 7), ["… 2 earlier steps"]),
        (chain(50, 1), []),
        (linked([-1, -1, *(at % 2 for at in range(24))]), ["… 1 earlier step", "… 1 earlier step"]),
        (linked([-1, *([0] * 24)]), ["… 1 earlier step"]),
        (chain(24), []),
    ],
    ids=["long", "several", "alone", "two chains", "one chain", "short"],
)
def test_steps_of_one_chain_hang_together_also_where_their_source_has_no_room(
    graph: ReasoningGraph, told: list[str]
) -> None:
    axes = chain_picture(graph, named).axes[0]
    assert [text.get_text() for text in axes.texts if "earlier" in text.get_text()] == told
    went_on = graph.steps[max(0, len(graph.steps) - MOST_STEPS) :]
    links = sum(step.came_from != NO_STEP for step in went_on) + min(len(graph.imagined), MOST_IMAGINED)
    assert len(axes.lines) == links, "nothing that came from somewhere stands alone"


def test_a_picture_says_what_it_leaves_out() -> None:
    title = chain_picture(chain(50), named).axes[0].texts
    assert "u: 50 events, by statistical  (26 older steps and 4 imagined items not shown)" in [
        text.get_text() for text in title
    ]


def test_pictures_are_written_the_same_each_time(tmp_path: Path) -> None:
    for form in ("svg", "png"):
        one, other = tmp_path / f"one.{form}", tmp_path / f"other.{form}"
        save_picture(GRAPH, named, one)
        save_picture(GRAPH, named, other)
        assert one.read_bytes() == other.read_bytes()
    svg = (tmp_path / "one.svg").read_text()
    for part in ("Blue polish", "Nail Polish", "$x$ &amp; &lt;b&gt;", "71", "stroke-dasharray"):
        assert part in svg
    head = (tmp_path / "one.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG") and struct.unpack(">II", head[16:])[0] > 600
    with pytest.raises(ValueError, match=r"one.gif: pictures are written as .svg or .png"):
        save_picture(GRAPH, named, tmp_path / "one.gif")
    with pytest.raises(ValueError, match=r"one.svg is a file, and a picture needs a folder"):
        save_picture(GRAPH, named, tmp_path / "one.svg" / "deep" / "two.svg")
    save_picture(GRAPH, named, tmp_path / "new" / "folder" / "one.svg")
    assert (tmp_path / "new" / "folder" / "one.svg").read_bytes() == (tmp_path / "one.svg").read_bytes()


def test_the_tree_needs_no_plotting() -> None:
    code = "import sys, evaluation.reporting.chains; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
