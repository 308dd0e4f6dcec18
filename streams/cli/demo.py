"""`evergraph demo`: the main job in one terminal, on bundled real data, in under a minute."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import BadOption, Json, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from dyngraph.events import Interaction
    from evaluation.readers.log import InteractionLog
    from streams.demo import Progress
    from streams.messages import RecommendationMessage

EVENTS = 40_000
"""So many that the whole demo keeps within a minute on two cores."""
SHOWN = 5


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", help="See it work: broker, live graph, one event, a fresh list. Needs nothing else.")(demo)


def demo(
    events: Annotated[str, typer.Option(help="How many events of the bundled log to publish, or all.")] = str(EVENTS),
    broker: Annotated[
        str | None, typer.Option(help="Use this Kafka (host:port).", show_default="embedded broker")
    ] = None,
    broker_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the embedded broker; 0 takes any free one.")
    ] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Save what the terminal showed as an SVG file.", dir_okay=False)
    ] = None,
    json: Json = None,
) -> None:
    """Run it."""
    from rich.console import Console

    from evaluation.readers import bundled_path, read_log
    from streams.demo import Figures, next_interaction, publish_and_wait
    from streams.settings import load_settings
    from streams.supervisor import Installation

    begun = time.monotonic()
    console = Console(highlight=False, record=picture is not None, width=88 if picture else None)
    log = read_log(bundled_path())
    count = _count(events, len(log))
    with tempfile.TemporaryDirectory(prefix="evergraph-demo-") as folder:
        settings = load_settings(
            {
                "broker": broker,
                "broker_port": broker_port,
                "state_dir": folder,
                "http_port": 0,
                "clock": "log",
                # A tenant of its own on a shared Kafka, so that the demo meets no topic of yours.
                "prefix": f"evergraph-demo-{int(time.time())}." if broker else None,
            }
        )
        console.print("[bold]1.[/] Start the broker, its topics and the graph worker")
        with Installation(settings, tell=console.print) as installation:
            url = installation.wait_ready()
            kind = "Kafka" if broker else "embedded Kafka-compatible broker"
            console.print(f"   {kind} at {installation.broker}", style="dim")
            console.print(f"   lists and state at {url}", style="dim")
            console.print(
                f"[bold]2.[/] Publish {count:,} real shop events (UCI Online Retail): each is ranked, then learned"
            )
            last = _feed(console, log.head(count), settings, installation.broker, url)
            event = next_interaction(log, count)
            console.print(f"[bold]3.[/] User {event.user_id} does one more thing, and the list follows")
            before = _list(url, event.user_id)
            after, waited = publish_and_wait(event, settings, installation.broker)
            _show(console, log, event, before, after, waited)
        figures = Figures(
            events=count,
            events_per_s=round(last.events_per_s, 1),
            publish_to_list_ms=round(waited, 1),
            before=before,
            after=_plain(after),
            ndcg={model: values["ndcg@10"] for model, values in last.figures.items()},
            hr={model: values["hr@10"] for model, values in last.figures.items()},
            user=event.user_id,
            interaction={"item_id": event.item_id, "event_type": event.event_type.label, "ts_ms": event.ts},
        )
    _how_to_go_on(console, time.monotonic() - begun)
    if picture is not None:
        console.save_svg(str(picture), title="evergraph demo")
    if json is not None:
        write_json(json, figures)


def _count(text: str, most: int) -> int:
    if text == "all":
        return most - 1
    if not text.isdecimal() or not 1 <= int(text) < most:
        raise BadOption(f"--events {text}: not a number from 1 to {most - 1}, nor `all`; for example --events {EVENTS}")
    return int(text)


def _feed(console: Console, log: InteractionLog, settings: Any, broker: str, url: str) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from streams.demo import feed

    columns = (TextColumn("  "), BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(log))
        for state in feed(log, settings, broker, url):
            rates = f"{state.events_per_s:,.0f} events/s  lag {state.lag:,}"
            progress.update(task, completed=state.applied, description=f"{rates}  {_hits(state.figures)}")
    return state


def _hits(figures: Mapping[str, Mapping[str, float | None]]) -> str:
    shown = []
    for model in ("evergraph", "popularity"):
        value = figures.get(model, {}).get("hr@10")
        if value is not None:
            shown.append(f"{model} {value:.3f}")
    return f"HR@10 {', '.join(shown)}" if shown else ""


def _list(url: str, user: str) -> list[dict[str, Any]]:
    from streams.cli.recommend import ask

    items = ask(f"{url}/lists/{user}?k=10")["items"]
    return [{key: item[key] for key in ("item_id", "title", "score", "reasons")} for item in items]


def _plain(message: RecommendationMessage) -> list[dict[str, Any]]:
    return [
        {"item_id": item.item_id, "title": item.title, "score": item.score, "reasons": list(item.reasons)}
        for item in message.items
    ]


def _show(
    console: Console,
    log: InteractionLog,
    event: Interaction,
    before: list[dict[str, Any]],
    after: RecommendationMessage,
    waited: float,
) -> None:
    from rich.markup import escape
    from rich.table import Table

    item = log.catalogue.get(event.item_id)
    places = {row["item_id"]: rank for rank, row in enumerate(before, start=1)}
    table = Table(title_justify="left", box=None, padding=(0, 1))
    table.add_column("#", style="dim")
    table.add_column("before", style="dim", max_width=20, no_wrap=True)
    table.add_column("after, and why", max_width=46)
    table.add_column("", no_wrap=True)
    for rank, made in enumerate(after.items[:SHOWN], start=1):
        place = places.get(made.item_id)
        moved = "new" if place is None else "same" if place == rank else f"was {place}"
        why = made.reasons[0] if made.reasons else made.source
        was = before[rank - 1]["title"] if rank <= len(before) else ""
        table.add_row(str(rank), was, f"[bold]{escape(made.title)}[/]\n[italic]{escape(why)}[/]", moved)
    title = item.title if item else event.item_id
    console.print(f"   {event.event_type.label}: [cyan]{title}[/]", highlight=False)
    console.print(table)
    console.print(f"   from publish to the new list out of Kafka: [bold green]{waited:.0f} ms[/]")


def _how_to_go_on(console: Console, seconds: float) -> None:
    console.print(f"\n[bold]Done in {seconds:.0f} s.[/] Go on with your own data:")
    for command, what in (
        ("evergraph validate FILE", "check a log (CSV, JSON lines, Parquet, RecBole)"),
        ("evergraph replay FILE", "how well would this have worked on my past?"),
        ("evergraph up", "keep it running; then publish FILE, recommend USER"),
        ("docker compose up", "the same on Apache Kafka"),
    ):
        console.print(f"   [cyan]{command:<23}[/] {what}")
