"""The report: one HTML page that needs nothing else, PNG pictures and the figures as JSON beside it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from evaluation.experiments.results import Comparison, Line, Results
from evaluation.experiments.wording import margin, verdict
from evaluation.reporting.pictures import NARROW, WIDE, Picture, pictures
from evaluation.reporting.themes import DARK, LIGHT, LIGHT_SERIES, MARKED, as_variables, css

PAGE, FIGURES = "report.html", "results.json"
PNG_DPI = 160
DRAWING: dict[Any, Any] = {"font.size": 10, "text.parse_math": False, "svg.fonttype": "none"}
"""matplotlib's settings: names are text and no formulas, and text in a picture stays text."""


def write_report(results: Results, folder: Path) -> Path:
    """Write page, pictures and figures into ``folder``, which is made if need be; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = pictures(results)
    for picture in drawn:
        with matplotlib.rc_context(DRAWING):
            alone = picture.draw(results, LIGHT, WIDE)
            # Away from the page a picture has to say itself what it shows.
            alone.suptitle(f"{results.title}\n{picture.caption}", x=0.01, ha="left", fontsize=10, color=LIGHT.text)
            alone.savefig(folder / f"{picture.stem}.png", dpi=PNG_DPI)
    (folder / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    page = folder / PAGE
    page.write_text(render(results, drawn), "utf-8")
    return page


def render(results: Results, drawn: list[Picture] | None = None) -> str:
    """The page as text; the same results give the same text."""
    drawn = pictures(results) if drawn is None else drawn
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            results=results,
            k=results.k,
            verdict=verdict(results),
            asked=any(row.margin is not None for row in results.comparisons),
            kinds=[kind for kind in results.models[0].lines if kind != "all"],
            pictures={picture.stem: _inline(picture, results) for picture in drawn},
            n_series=len(LIGHT_SERIES),
            light=Markup(css(LIGHT)),
            dark=Markup(css(DARK)),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evaluation.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(
        figure=figure,
        interval=interval,
        ndcg=lambda line: figure(line.ndcg if line is not None else None),
        signed=lambda value: f"{value:+.4f}".replace("-", "\u2212"),
        percent=percent,
        p=lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
        count=lambda value: f"{value:,.0f}",
        margin=_margin,
        words=lambda name: name.replace("_", " "),
        setting=_setting,
    )
    return environment


def figure(value: float | None, digits: int = 4) -> str:
    """A figure as tables show it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(line: Line) -> str:
    """``low to high`` of a line's NDCG."""
    return "–" if line.ndcg_low is None else f"{line.ndcg_low:.4f} to {line.ndcg_high:.4f}"


def percent(share: float | None) -> str:
    """A relative difference with its sign."""
    return "–" if share is None else f"{100 * share:+.1f} %".replace("-", "\u2212")


def _margin(row: Comparison) -> Markup:
    if row.margin is None:
        return Markup("–")
    kind, mark = ("good", "✓") if row.margin_reached else ("short", "✗")
    return Markup('<span class="{}">{} {}</span>').format(kind, mark, margin(row))


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _inline(picture: Picture, results: Results) -> Markup:
    """The picture in both widths, drawn in the page's own colours; CSS shows the one that fits."""
    alt, shown = escape(picture.alt), []
    for name, width in (("wide", WIDE), ("narrow", NARROW)):
        svg = _svg(picture, results, width, f"{picture.stem}-{name}")
        shown.append(svg.replace("<svg ", f'<svg class="{name}" role="img" aria-label="{alt}" ', 1))
    return Markup(f"<figure>{''.join(shown)}<figcaption>{escape(picture.caption)}</figcaption></figure>")


def _svg(picture: Picture, results: Results, width: float, prefix: str) -> str:
    file = io.StringIO()
    with matplotlib.rc_context(DRAWING | {"svg.hashsalt": prefix}):
        picture.draw(results, MARKED, width).savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Metadata and name spaces are web addresses that an inlined picture does not need.
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = (
        re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", text[: text.index(">")]) + text[text.index(">") :]
    )
    # One id must not mean two things on a page that holds several pictures.
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    return as_variables(text)
