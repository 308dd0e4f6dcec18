"""`evergraph validate FILE`: would this file be read, and what is in it?"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import AssumeSorted, DropDuplicates, Encoding, Json, Map, Tz, mapping, write_json

if TYPE_CHECKING:
    from evaluation.readers import ValidationReport


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("validate", help="Look a log file over: figures, and problems with their lines.")(validate)


def validate(
    file: Annotated[Path, typer.Argument(help="A log in any layout of the manual, or its folder.")],
    map_: Map = None,
    tz: Tz = None,
    encoding: Encoding = None,
    assume_sorted: AssumeSorted = False,
    drop_duplicates: DropDuplicates = False,
    json: Json = None,
) -> None:
    """Print a report; exit code 2 where the file would not be read."""
    from evaluation.readers import validate_log

    report = validate_log(
        file,
        mapping=mapping(map_),
        tz=tz,
        encoding=encoding,
        assume_sorted=assume_sorted,
        drop_duplicates=drop_duplicates,
    )
    if json is not None:
        write_json(json, report.to_dict())
    for line in _lines(report):
        typer.echo(line)
    for problem in report.problems:
        typer.echo(f"  {problem}", err=True)
    if not report.ok:
        typer.echo(f"error: {file}: {report.n_problems:,} problem(s), the first ones above; mend the lines", err=True)
        raise typer.Exit(2)
    typer.echo("ok")


def _lines(report: ValidationReport) -> list[str]:
    types = ", ".join(f"{name} {count:,}" for name, count in report.event_types.items())
    lines = [
        f"{report.path}: {report.rows:,} events of {report.users:,} users on {report.items:,} items"
        f" ({report.catalogue:,} in the catalogue)",
        f"layout: {report.layout}",
        f"event types: {types}",
    ]
    if report.span is not None:
        first, last = (datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") for ms in report.span)
        lines.append(f"time: {first} to {last} UTC" + ("" if report.in_time_order else ", not in time order (sorted)"))
    lines.append(f"rows that repeat another one exactly: {report.duplicates:,}")
    lines += [f"dropped, {reason}: {count:,}" for reason, count in report.dropped.items()]
    return lines + report.notes
