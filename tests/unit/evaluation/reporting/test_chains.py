"""Reasoning graphs for people: the same graph as a tree, a document and a picture."""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dyngraph.reasoning import Imagined, ReasoningGraph, Step, chains
from evaluation.reporting.chain_pictures import MOST_STEPS, chain_picture, save_picture
from evaluation.reporting.chains import chain_document, chain_tree, newest, only

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


def printed(graph: ReasoningGraph) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
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
        ("s0", "s2", 71.3), ("s0", "s3", 30), ("s2", "i0", 88), ("s1", "i1", 0),
    ]  # fmt: skip
    assert (nodes["i0"]["item_id"], nodes["i1"]["item_id"]) == ("top", "")
    assert document["chains"] == chains(GRAPH)
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


def test_of_a_long_history_the_newest_is_shown() -> None:
    part = newest(GRAPH, 2)
    assert [(step.item_id, step.came_from) for step in part.steps] == [("blue", -1), ("long", -1)]
    assert [idea.item_id for idea in part.imagined] == ["top"]
    assert newest(GRAPH, 99).steps == GRAPH.steps


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
    assert len(boxes) == min(len(graph.steps), MOST_STEPS) + min(
        sum(idea.step >= len(graph.steps) - MOST_STEPS for idea in graph.imagined), 8
    )
    for one, other in itertools.combinations(boxes, 2):
        apart = one.x1 < other.x0 or other.x1 < one.x0 or one.y1 < other.y0 or other.y1 < one.y0
        assert apart
    width, height = figure.get_size_inches()
    assert all(box.x0 > 0 and box.x1 < width and box.y0 > 0 and box.y1 < height for box in boxes)


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


def test_the_tree_needs_no_plotting() -> None:
    code = "import sys, evaluation.reporting.chains; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
