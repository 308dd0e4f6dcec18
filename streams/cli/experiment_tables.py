"""The figures of an experiment in a terminal of eighty columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.experiments.wording import margin, verdict

if TYPE_CHECKING:
    from evaluation.experiments.results import Comparison, Line, Results


def show(results: Results, console: Console | None = None) -> None:
    """Print figures, differences, and what a reader has to know of both."""
    console = console or Console()
    data = results.data
    console.print(
        f"\n{results.title}: {data.evaluated:,} of {data.events:,} events counted", style="bold", markup=False
    )
    console.print(_models(results))
    console.print("first, again: NDCG of events whose user had not met, had met the item", style="dim")
    if results.comparisons:
        console.print(f"\nNDCG@{results.k} of {results.comparisons[0].model} minus that of", style="bold", markup=False)
        console.print(_differences(results))
    for note in results.notes:
        console.print(note, style="dim", markup=False)
    for reason, count in data.dropped.items():
        console.print(f"left out: {count:,} {reason}", style="dim", markup=False)
    for sentence in verdict(results):
        console.print(sentence, markup=False)
    console.print(f"again: {results.command}", style="dim", markup=False, soft_wrap=True)


def _models(results: Results) -> Table:
    k = results.k
    table = _table("model", f"HR@{k}", f"NDCG@{k}", "95 % over\nusers", "MRR", "first", "again", "cover", "events/s")
    for model in results.models:
        line = model.overall
        table.add_row(
            escape(model.name),
            _share(line.hr),
            _share(line.ndcg),
            "–" if line.ndcg_low is None else f"{_share(line.ndcg_low)}–{_share(line.ndcg_high)}",
            _share(line.mrr),
            _ndcg(model.lines.get("first-time")),
            _ndcg(model.lines.get("repeat")),
            _share(model.coverage, 3),
            f"{results.timings[model.name].events_per_s:,.0f}",
        )
    return table


def _differences(results: Results) -> Table:
    asked = any(row.margin is not None for row in results.comparisons)
    headers = ["model", "difference", "95 % over\nusers", "relative", "p (Holm)", "own\nintervals"]
    table = _table(*headers, *(["margin"] if asked else []))
    for row in results.comparisons:
        table.add_row(escape(row.other), *_difference(row), *([margin(row)] if asked else []))
    return table


def _difference(row: Comparison) -> tuple[str, ...]:
    return (
        _signed(row.difference),
        f"{_signed(row.low)} {_signed(row.high)}",
        "–" if row.relative is None else f"{100 * row.relative:+.1f} %",
        "<.001" if row.p_holm < 0.001 else _share(row.p_holm, 3),
        "apart" if row.intervals_apart else "overlap",
    )


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold")
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _share(value: float | None, digits: int = 4) -> str:
    """A figure from 0 to 1 without the zero that all of them have."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if value < 1 else text


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:+.4f}"


def _ndcg(line: Line | None) -> str:
    return _share(line.ndcg if line is not None else None)
