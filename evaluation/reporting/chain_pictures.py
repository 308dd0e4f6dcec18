"""A reasoning graph as a picture: items as boxes from left to right, concepts as pills on the way, scores beside them.

What was imagined stands at the right with dashed borders; a dotted box at the left stands for earlier steps of a chain
that there is no room for. Drawn by matplotlib, which no worker imports.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dyngraph.reasoning import NO_STEP, ReasoningGraph, tested
from evaluation.reporting.chains import UNTESTED, Named, name_of
from evaluation.reporting.themes import LIGHT, Theme

MOST_STEPS, MOST_IMAGINED = 24, 8
"""What a picture can hold: the newest steps, the most credible imagined items."""
COLUMN, ROW = 3.5, 0.86
"""Inches from one item to the next."""
BOX, HEIGHT = 1.9, 0.6
"""Inches of an item's box."""
FORMS = ("svg", "png")
PNG_DPI = 160
DRAWING: dict[Any, Any] = {"font.size": 8, "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "chains"}


@dataclass
class _Node:
    """A box: where it stands, in columns and rows, where it comes from, and the score of that, None if not tested."""

    name: str
    column: int
    row: float
    source: _Node | None = None
    concept: str = ""
    relation: str = ""
    score: float | None = None
    imagined: bool = False
    pending: bool = False
    earlier: set[int] = field(default_factory=set)
    """Of a box for earlier steps: which ones."""
    after: list[_Node] = field(default_factory=list)


def chain_picture(graph: ReasoningGraph, named: Named, theme: Theme = LIGHT) -> Figure:
    """The newest steps and the most credible imagined items of a graph, as a figure.

    What goes on from an older step of one chain hangs on one box that stands for these.
    """
    nodes = _placed(graph, named)
    columns = 1 + max((node.column for node in nodes), default=0)
    rows = 1 + max((node.row for node in nodes), default=0)
    width, height = BOX + (columns - 1) * COLUMN + 0.4, rows * ROW + 0.55
    figure = Figure(figsize=(max(width, 4.4), height), facecolor=theme.paper)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, max(width, 4.4))
    axes.set_ylim(height, 0)
    axes.axis("off")
    for node in nodes:
        _draw_link(axes, node, theme)
    for node in nodes:
        _draw_box(axes, node, theme)
    older = max(0, len(graph.steps) - MOST_STEPS)
    fewer = len(graph.imagined) - sum(node.imagined for node in nodes)
    left_out = [f"{older} older steps"] * bool(older) + [f"{fewer} imagined items"] * bool(fewer)
    told = f"{graph.user_id}: {graph.events} events, by {graph.producer}" if graph.user_id else f"by {graph.producer}"
    note = f"  ({' and '.join(left_out)} not shown)" if left_out else ""
    axes.text(0.2, 0.2, _short(told + note, 90), color=theme.muted, va="center")
    if not nodes:
        axes.text(0.2, 0.7, "no chains", color=theme.text, va="center")
    return figure


def save_picture(graph: ReasoningGraph, named: Named, path: Path, theme: Theme = LIGHT) -> None:
    """Write the picture to ``path``, in a folder that is made if need be; equal graphs give equal bytes.

    Raises ValueError as :func:`picture_form` does.
    """
    form = picture_form(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(DRAWING):
        figure = chain_picture(graph, named, theme)
        figure.savefig(path, format=form, dpi=PNG_DPI, metadata={"Date": None} if form == "svg" else None)


def picture_form(path: Path) -> str:
    """``svg`` or ``png``, by how a file's name ends. Raises ValueError for another end, or where no folder can be."""
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise ValueError(f"{path.name}: pictures are written as .svg or .png; name the file so")
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{path}: {folder} is a file, and a picture needs a folder; name another")
    return form


def _placed(graph: ReasoningGraph, named: Named) -> list[_Node]:
    """A column per depth; a row per end of a chain, what branches stands between its branches."""
    first = max(0, len(graph.steps) - MOST_STEPS)
    nodes: dict[int, _Node] = {}
    earlier: dict[int, _Node] = {}
    for place in range(first, len(graph.steps)):
        step = graph.steps[place]
        source = _source(graph, step.came_from, nodes, earlier)
        column = source.column + 1 if source else 0
        score = step.score if tested(step) else None
        nodes[place] = _Node(name_of(step.item_id, named), column, 0, source, step.concept, step.relation, score)
        if source:
            source.after.append(nodes[place])
    imagined: list[_Node] = []
    for idea in graph.imagined[:MOST_IMAGINED]:
        source = _source(graph, idea.step, nodes, earlier)
        assert source is not None, "what was imagined goes on from a step"
        name = name_of(idea.item_id, named) if idea.item_id else idea.name
        node = _Node(name, source.column + 1, 0, source, "", idea.relation, idea.score, True, not idea.item_id)
        source.after.append(node)
        imagined.append(node)
    for stub in earlier.values():
        stub.name = f"… {len(stub.earlier)} earlier step{'s' if len(stub.earlier) > 1 else ''}"
    row = 0.0
    everything = [*earlier.values(), *nodes.values()]
    for node in everything:
        if node.source is None:
            row = _rowed(node, row)
    return [*everything, *imagined]


def _source(graph: ReasoningGraph, place: int, nodes: dict[int, _Node], earlier: dict[int, _Node]) -> _Node | None:
    """The box of the step at ``place``: its own among ``nodes``, else that of ``earlier`` steps by their opening."""
    if place == NO_STEP or place in nodes:
        return nodes.get(place)
    path = [place]
    while (before := graph.steps[path[-1]].came_from) != NO_STEP:
        path.append(before)
    stub = earlier.setdefault(path[-1], _Node("", 0, 0))
    stub.earlier.update(path)
    return stub


def _rowed(node: _Node, row: float) -> float:
    """Give a node and all after it their rows from ``row`` on; the first row that is free then."""
    if not node.after:
        node.row = row
        return row + 1
    for other in node.after:
        row = _rowed(other, row)
    node.row = (node.after[0].row + node.after[-1].row) / 2
    return row


def _corner(node: _Node) -> tuple[float, float]:
    """Left edge and middle of a node's box, in inches."""
    return 0.2 + node.column * COLUMN, 0.45 + (node.row + 0.5) * ROW


def _draw_box(axes: Axes, node: _Node, theme: Theme) -> None:
    left, middle = _corner(node)
    colour = theme.series[3] if node.imagined else theme.series[2]
    box = FancyBboxPatch(
        (left, middle - HEIGHT / 2),
        BOX,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.07",
        facecolor=theme.paper,
        edgecolor=theme.muted if node.pending or node.earlier else colour,
        linewidth=1.3,
        linestyle=(0, (1, 2)) if node.earlier else (0, (3, 2)) if node.imagined else "-",
        zorder=3,
    )
    axes.add_patch(box)
    lines = textwrap.wrap(node.name, 28, max_lines=3, placeholder="…") or [""]
    style = "italic" if node.imagined or node.earlier else "normal"
    axes.text(
        left + BOX / 2, middle, "\n".join(lines), ha="center", va="center", color=theme.text, style=style, zorder=4,
        fontsize=8, linespacing=1.15,
    )  # fmt: skip
    if node.source is None and node.concept:
        _pill(axes, left + BOX / 2, middle + HEIGHT / 2 + 0.02, node.concept, theme)


def _draw_link(axes: Axes, node: _Node, theme: Theme) -> None:
    """A curve from the source, with the concept on it, the relation above and the score below."""
    if node.source is None:
        return
    left, middle = _corner(node)
    begin, level = _corner(node.source)
    begin += BOX
    bend = (left - begin) * 0.36
    at = [step / 24 for step in range(25)]
    x = [_bezier(t, begin, begin + bend / 2, begin + bend / 2, begin + bend) for t in at]
    y = [_bezier(t, level, level, middle, middle) for t in at]
    axes.plot(
        [*x, left],
        [*y, middle],
        color=theme.muted,
        linewidth=0.8 + (node.score or 0.0) / 100,
        linestyle=(0, (3, 2)) if node.imagined else "-",
        solid_capstyle="round",
        zorder=1,
    )
    centre = (begin + bend + left) / 2
    score = "" if node.pending else UNTESTED if node.score is None else f"{node.score:.0f}"
    if node.concept:
        _pill(axes, centre, middle, node.concept, theme)
        axes.text(centre, middle - 0.15, _short(node.relation, 18), ha="center", va="bottom", color=theme.muted, size=7)
        axes.text(centre, middle + 0.15, score, ha="center", va="top", color=theme.muted, size=7)
    else:
        words = _short(node.relation, 18) if not node.pending else "no such item"
        axes.text(centre, middle - 0.04, words, ha="center", va="bottom", color=theme.muted, size=7)
        axes.text(centre, middle + 0.04, score, ha="center", va="top", color=theme.muted, size=7)


def _pill(axes: Axes, x: float, y: float, concept: str, theme: Theme) -> None:
    axes.text(
        x, y, _short(concept, 16), ha="center", va="center", color=theme.paper, size=7, zorder=5,
        bbox={"boxstyle": "round,pad=0.32,rounding_size=0.9", "facecolor": theme.series[4], "edgecolor": "none"},
    )  # fmt: skip


def _bezier(t: float, a: float, b: float, c: float, d: float) -> float:
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
