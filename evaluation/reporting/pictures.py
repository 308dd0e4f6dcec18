"""The report's pictures as matplotlib figures, each drawn from the results in a given theme and width."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from evaluation.experiments.results import Line, ModelResult, Results, day
from evaluation.reporting.themes import DASHES, Theme

WIDE, NARROW = 9.4, 4.6
"""Inches. The narrow one is for telephones: same marks, text that stays readable."""

KINDS = ("cold users", "warm users", "cold items", "warm items", "first-time", "repeat")
"""Kinds of events that get a panel each, where they are in the results."""

LABEL_GAP = 0.052
"""Least distance of two labels at the ends of curves, as a share of the axis."""


@dataclass(frozen=True)
class Picture:
    """A figure to be drawn: file stem, what a reader sees below it, and what a reader who cannot see it hears."""

    stem: str
    caption: str
    alt: str
    draw: Callable[[Results, Theme, float], Figure]


def pictures(results: Results) -> list[Picture]:
    """The pictures that these results fill."""
    k = results.k
    ranked = _ranked(results.models)
    window = f"{results.protocol['window']:,} evaluated events"
    drawn = [
        Picture(
            "ndcg",
            f"NDCG@{k} over all evaluated events, with 95 % intervals over users.",
            f"Bars of NDCG@{k}. " + "; ".join(f"{model.name} {_spoken(model.overall)}" for model in ranked),
            _bars,
        ),
        Picture(
            "ndcg-over-time",
            f"NDCG@{k} of the last {window}, along the log. Each step to the right is the same number of events.",
            f"Curves of rolling NDCG@{k} along the log. "
            + "; ".join(f"{model.name} {_path(model.curve.ndcg, 4)}" for model in ranked),
            _ndcg_curves,
        ),
        Picture(
            "coverage-over-time",
            "Share of the items seen so far that stood in any list so far.",
            "Curves of coverage along the log. "
            + "; ".join(f"{model.name} {_path(model.curve.coverage, 3)}" for model in ranked),
            _coverage_curves,
        ),
    ]
    if kinds := _kinds(results):
        drawn.append(
            Picture(
                "cold-and-warm",
                f"NDCG@{k} by kind of event, with 95 % intervals over users.",
                f"Bars of NDCG@{k} by kind of event. "
                + ". ".join(
                    f"{kind}: " + ", ".join(f"{model.name} {_spoken(model.lines[kind])}" for model in ranked)
                    for kind in kinds
                ),
                _kind_bars,
            )
        )
    return drawn


def _bars(results: Results, theme: Theme, width: float) -> Figure:
    ranked = _ranked(results.models)
    figure, (axes,) = _figure(theme, width, 0.9 + 0.34 * len(ranked))
    _draw_bars(axes, results, ranked, [model.overall for model in ranked], theme, numbers=True)
    axes.set_xlabel(f"NDCG@{results.k}")
    return figure


def _kind_bars(results: Results, theme: Theme, width: float) -> Figure:
    ranked, kinds = _ranked(results.models), _kinds(results)
    columns = 2 if width > NARROW else 1
    rows = math.ceil(len(kinds) / columns)
    figure, panels = _figure(theme, width, rows * (0.85 + 0.25 * len(ranked)), rows, columns)
    for axes, kind in zip(panels, kinds, strict=False):
        lines = [model.lines[kind] for model in ranked]
        _draw_bars(axes, results, ranked, lines, theme, numbers=False)
        axes.set_title(f"{kind} ({lines[0].events:,} events)", loc="left", color=theme.text, fontsize=10)
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    return figure


def _ndcg_curves(results: Results, theme: Theme, width: float) -> Figure:
    return _curves(results, theme, width, lambda model: model.curve.ndcg, f"NDCG@{results.k}")


def _coverage_curves(results: Results, theme: Theme, width: float) -> Figure:
    return _curves(results, theme, width, lambda model: model.curve.coverage, "coverage")


def _curves(
    results: Results, theme: Theme, width: float, values: Callable[[ModelResult], list[float]], label: str
) -> Figure:
    figure, (axes,) = _figure(theme, width, 3.9 if width > NARROW else 3.6 + 0.17 * len(results.models))
    for place, model in reversed(list(enumerate(results.models))):
        axes.plot(
            model.curve.evaluated,
            values(model),
            color=_colour(theme, place),
            linestyle=DASHES[place // len(theme.series) % len(DASHES)],
            linewidth=2.4 if place == 0 else 1.4,
            label=model.name,
        )
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    first = results.models[0].curve
    _dates(axes, first.evaluated, first.ts, 6 if width > NARROW else 3)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    if width > NARROW:
        _label_ends(axes, results.models, values, theme)
    else:
        handles, names = axes.get_legend_handles_labels()
        figure.legend(
            handles[::-1], names[::-1], loc="outside lower left", ncols=2, frameon=False, labelcolor=theme.text
        )
    return figure


def _draw_bars(
    axes: Axes, results: Results, ranked: Sequence[ModelResult], lines: Sequence[Line], theme: Theme, numbers: bool
) -> None:
    places = {model.name: place for place, model in enumerate(results.models)}
    for at, (model, line) in enumerate(zip(ranked, lines, strict=True)):
        value = line.ndcg or 0.0
        axes.barh(at, value, height=0.62, color=_colour(theme, places[model.name]), alpha=0.85)
        if line.ndcg_low is not None and line.ndcg_high is not None:
            axes.plot([line.ndcg_low, line.ndcg_high], [at, at], color=theme.text, linewidth=1.3, solid_capstyle="butt")
            for end in (line.ndcg_low, line.ndcg_high):
                axes.plot([end, end], [at - 0.13, at + 0.13], color=theme.text, linewidth=1.3)
        if numbers:
            right = max(value, line.ndcg_high or 0.0)
            axes.annotate(
                f"{value:.4f}", (right, at), xytext=(6, 0), textcoords="offset points", va="center", color=theme.text
            )
    axes.set_yticks(range(len(ranked)), [model.name for model in ranked])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=theme.text)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.12 if numbers else 0.04)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=theme.grid, linewidth=0.8)


def _figure(theme: Theme, width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(
        figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.1, hspace=0.03), facecolor=theme.paper
    )
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set_facecolor("none")
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(theme.muted)
        axes.tick_params(colors=theme.muted, labelcolor=theme.muted, labelsize=9)
        axes.xaxis.label.set_color(theme.muted)
        axes.yaxis.label.set_color(theme.muted)
    return figure, panels


def _dates(axes: Axes, evaluated: Sequence[int], ts: Sequence[int], most: int) -> None:
    """Name the days below an axis that counts events."""
    by_count = dict(zip(evaluated, ts, strict=True))
    step = max(1, math.ceil(len(evaluated) / most))
    at = list(evaluated)[step // 2 :: step]
    axes.set_xticks(at)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: day(by_count.get(int(count), ts[0])) if ts else ""))


def _label_ends(
    axes: Axes, models: Sequence[ModelResult], values: Callable[[ModelResult], list[float]], theme: Theme
) -> None:
    """Write each model's name at the end of its curve, moved apart where ends lie close together."""
    low, high = axes.get_ylim()
    ends = {place: (values(model)[-1] - low) / (high - low) for place, model in enumerate(models) if values(model)}
    heights = spread([ends[place] for place in sorted(ends, key=ends.__getitem__)])
    for place, height in zip(sorted(ends, key=ends.__getitem__), heights, strict=True):
        axes.annotate(
            models[place].name,
            (1, ends[place]),
            xycoords="axes fraction",
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontweight="bold" if place == 0 else "normal",
            color=_colour(theme, place),
            fontsize=9,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),
                "color": _colour(theme, place),
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def spread(heights: Sequence[float]) -> list[float]:
    """Ascending heights moved until they are :data:`LABEL_GAP` apart, around where they were, within 0 and 1.

    More labels than there is room for stand as far apart as they can.
    """
    gap = min(LABEL_GAP, 1 / max(1, len(heights) - 1))
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    up = sum(new - old for new, old in zip(moved, heights, strict=True)) / max(1, len(moved))
    top = 1 - gap * (len(moved) - 1)
    return [min(max(height - up, gap * place), top + gap * place) for place, height in enumerate(moved)]


def _ranked(models: Sequence[ModelResult]) -> list[ModelResult]:
    return sorted(models, key=lambda model: -(model.overall.ndcg or 0.0))


def _kinds(results: Results) -> list[str]:
    """Kinds with events, in pairs; a kind that holds every event says nothing new."""
    lines = results.models[0].lines
    whole = lines["all"].events
    return [kind for kind in KINDS if kind in lines and 0 < lines[kind].events < whole]


def _colour(theme: Theme, place: int) -> str:
    return theme.series[place % len(theme.series)]


def _spoken(line: Line) -> str:
    if line.ndcg is None:
        return "none"
    return f"{line.ndcg:.4f} ({line.ndcg_low:.4f} to {line.ndcg_high:.4f})"


def _path(values: Sequence[Any], digits: int) -> str:
    return f"from {values[0]:.{digits}f} to {values[-1]:.{digits}f}" if values else "none"
