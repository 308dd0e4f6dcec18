"""`evergraph explain` as a person types it, with a worker whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from dyngraph.reasoning import Imagined, ReasoningGraph, Step
from streams.cli import app, explain, is_user_error
from streams.cli.options import BadOption

STEPS = (
    Step("tea", 1_000, -1, "opens", "", "Nothing leads to it.", 100),
    Step("cup", 2_000, 0, "follows", "", "Tea is drunk from it.", 60),
    Step("saw", 3_000, -1, "opens", "", "Nothing leads to it.", 100),
)
GRAPH = ReasoningGraph(
    "ann", 3_000, 7, 3, STEPS, (Imagined(1, "pot", "pot", 1.0, "follows", "So.", 80),), (), b"", "statistical"
)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the worker was asked for."""
    urls: list[str] = []

    def ask(url: str) -> dict[str, Any]:
        urls.append(url)
        titles = {"tea": "Green tea", "cup": "Tea cup", "saw": "Hand saw", "pot": "Tea pot"}
        return {"graph": msgspec.to_builtins(GRAPH), "titles": titles, "age_s": 0.0}

    monkeypatch.setattr(explain, "ask", ask)
    return urls


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments, "--url", "http://worker"])


def test_an_item_has_the_chains_that_lead_to_it(tmp_path: Path) -> None:
    done = typed("ann", "--item", "pot", "--json", str(tmp_path / "pot.json"))
    assert done.exit_code == 0, done.output
    assert "Green tea" in done.output and "? Tea pot" in done.output and "Hand saw" not in done.output
    assert json.loads((tmp_path / "pot.json").read_text())["chains"] == [["s0", "s1"]]


def test_an_item_that_no_chain_leads_to_gets_one_clear_text(tmp_path: Path) -> None:
    figures, picture = tmp_path / "no.json", tmp_path / "no.svg"
    done = typed("ann", "--item", "mug", "--json", str(figures), "--picture", str(picture))
    assert done.exit_code == 0, done.output
    assert " ".join(done.output.split()) == (
        "no chain of ann leads to mug, and none goes through it: a list can name it only as like an item of a chain; "
        "nothing is drawn"
    )
    assert not picture.exists()
    assert json.loads(figures.read_text())["nodes"] == []


def test_pictures_come_into_a_folder_that_is_made(tmp_path: Path) -> None:
    done = typed("ann", "--picture", str(tmp_path / "new" / "chains.svg"))
    assert done.exit_code == 0 and "drawn:" in done.output
    assert "Tea cup" in (tmp_path / "new" / "chains.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ann", "--picture", "good.svg", "--picture", "x.jpg"), "x.jpg: pictures are written as .svg or .png"),
        (("ann", "--picture", "pyproject.toml/x.svg"), "pyproject.toml is a file, and a picture needs a folder"),
        (("",), "USER is empty: give an id"),
        (("ann", "--item", ""), "--item is empty: give an id"),
    ],
    ids=["form", "folder", "user", "item"],
)
def test_a_mistake_is_told_before_anything_is_asked_or_printed(
    arguments: tuple[str, ...], told: str, asked: list[str]
) -> None:
    done = typed(*arguments)
    assert isinstance(done.exception, BadOption | ValueError) and is_user_error(done.exception)
    assert told in str(done.exception)
    assert not done.output and not asked
