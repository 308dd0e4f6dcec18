"""`evergraph publish FILE`: a log file into Kafka, its catalogue first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.options import Broker, Config, Encoding, Json, Map, Prefix, Tz, broker_of, mapping, write_json
from streams.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("publish", help="Publish a log file to `interactions` (and its items to `items`).")(publish)


def publish(
    file: Annotated[Path, typer.Argument(help="A log in any layout of the manual, or its folder.")],
    broker: Broker = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events per second.", show_default="full speed")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Publish the first N events only.")] = None,
    map_: Map = None,
    tz: Tz = None,
    encoding: Encoding = None,
    prefix: Prefix = None,
    config: Config = None,
    json: Json = None,
) -> None:
    """Read, publish, report."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from evaluation.readers import read_log
    from streams.producer import publish_log

    settings = load_settings({"broker": broker, "prefix": prefix}, config=config)
    address = broker_of(settings)
    log = read_log(file, mapping=mapping(map_), tz=tz, encoding=encoding)
    console = Console(stderr=True)
    for note in log.notes:
        console.print(note, style="dim", markup=False)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("publishing", total=min(limit or log.frame.height, log.frame.height))
        report = publish_log(
            log,
            address,
            settings.prefix,
            rate=rate,
            limit=limit,
            progress=lambda sent, total: progress.update(task, completed=sent, total=total),
        )
    typer.echo(
        f"{report.events:,} events and {report.items:,} items published to {address} "
        f"in {report.seconds:.2f} s ({report.events_per_s:,.0f} events/s)"
    )
    if json is not None:
        figures = {"events": report.events, "items": report.items, "seconds": report.seconds}
        write_json(json, {"data": str(file), **figures, "events_per_s": report.events_per_s})
