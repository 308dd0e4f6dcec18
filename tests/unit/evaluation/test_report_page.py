"""The report: every figure of the JSON, nothing from elsewhere, whatever the names look like."""

from __future__ import annotations

import itertools
import re
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_results import results

from evaluation.experiments.results import Results
from evaluation.reporting.page import figure, interval, percent, render, write_report
from evaluation.reporting.pictures import LABEL_GAP, pictures, spread

HOSTILE = """<b onclick='x'>"&{{ 7*7 }}</b>"""


class _Reader(HTMLParser):
    """What a page says, what it holds, and whether its elements are closed."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "!doctype"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def made() -> Results:
    return results("evergraph", "blend", "popularity", HOSTILE)


@pytest.fixture(scope="module")
def folder(made: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(made, tmp_path_factory.mktemp("report") / "new" / "out").parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")


def test_the_page_shows_every_figure_of_the_tables(made: Results, page: str) -> None:
    said = "".join(_Reader(page).text)
    for model in made.models:
        for line in model.lines.values():
            for value in (line.hr, line.ndcg, line.mrr):
                assert figure(value) in said
            assert interval(line) in said
        for value, digits in ((model.coverage, 3), (model.novelty, 2), (model.gini, 3)):
            assert figure(value, digits) in said
    for row in made.comparisons:
        assert percent(row.relative) in said
        assert f"{row.p_holm:.3f}" in said
    for reason, count in made.data.dropped.items():
        assert f"{count:,}: {reason}" in said
    for text in (*made.data.notes, *made.notes, made.command, *made.versions.values(), *made.machine.values()):
        assert text in said


def test_the_page_needs_no_network_and_no_script(page: str) -> None:
    assert not re.search(r"https?:|//[a-z]", page)
    for tag, attributes in _Reader(page).tags:
        assert tag not in {"script", "link", "iframe", "img"}
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), attributes
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_a_name_is_text_whatever_it_looks_like(page: str) -> None:
    reader = _Reader(page)
    assert not [tag for tag, attributes in reader.tags if tag == "b" or "onclick" in attributes]
    assert HOSTILE in "".join(reader.text)


def test_the_page_is_whole_and_its_ids_are_single(page: str) -> None:
    reader = _Reader(page)
    assert not reader.open
    ids = [attributes["id"] for _, attributes in reader.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    targets = {
        attributes[name] for _, attributes in reader.tags for name in ("href", "xlink:href") if name in attributes
    }
    assert {str(target).removeprefix("#") for target in targets} <= set(ids)


def test_every_picture_says_its_figures_to_who_cannot_see_it(made: Results, page: str) -> None:
    shown = [attributes for tag, attributes in _Reader(page).tags if tag == "svg"]
    assert len(shown) == 2 * len(pictures(made))
    assert all(attributes["role"] == "img" for attributes in shown)
    first = shown[0]["aria-label"] or ""
    for model in made.models:
        assert f"{model.name} {figure(model.overall.ndcg)}" in first


def test_the_folder_holds_the_pictures_beside_the_page(made: Results, folder: Path) -> None:
    for picture in pictures(made):
        content = (folder / f"{picture.stem}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", content[16:24])
        assert width > 1_000
        assert height > 300


def test_the_figures_beside_the_page_give_the_same_page_again(made: Results, folder: Path, page: str) -> None:
    again = msgspec.json.decode((folder / "results.json").read_bytes(), type=Results)
    assert again == made
    assert render(again) == page


def test_one_model_alone_has_no_table_of_differences() -> None:
    page = render(results("popularity"))
    assert 'id="differences"' not in page
    assert not _Reader(page).open


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15).map(sorted))
def test_labels_stand_apart_within_the_axis_and_in_order(heights: list[float]) -> None:
    moved = spread(heights)
    assert all(b - a >= LABEL_GAP - 1e-9 for a, b in itertools.pairwise(moved))
    assert min(moved) >= -1e-9
    assert max(moved) <= 1 + 1e-9


def test_labels_that_are_apart_stay_where_they_are() -> None:
    assert spread([0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9])


def test_nothing_outside_of_reporting_loads_the_plotting_libraries() -> None:
    program = (
        "import sys, evaluation.experiments.figures, streams.worker.app, streams.cli.evaluate, streams.cli.ablate\n"
        "print([name for name in ('matplotlib', 'evaluation.reporting') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
