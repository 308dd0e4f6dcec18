"""`evergraph consume`: look into a topic, as readable lists or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from streams.cli.options import Broker, Config, Prefix, broker_of, write_json
from streams.settings import load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from streams.consumer import Record


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("consume", help="Print what is in a topic, `recommendations` unless told otherwise.")(consume)


def consume(
    topic: Annotated[str, typer.Option(help="A topic without its prefix.")] = "recommendations",
    user: Annotated[str | None, typer.Option(help="Only records with this key.")] = None,
    from_: Annotated[
        str, typer.Option("--from", help="earliest | latest | ts=2011-01-01T00:00 | ts=MS | last=1h")
    ] = "earliest",
    limit: Annotated[int | None, typer.Option(min=1, help="End after N records.")] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more, or end where the log ends now.")] = True,
    lines: Annotated[bool, typer.Option("--lines", help="One JSON object a line, for other programs.")] = False,
    broker: Broker = None,
    prefix: Prefix = None,
    config: Config = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", help="Write the records to this file and end (implies --no-follow)."),
    ] = None,
) -> None:
    """Read, filter, print."""
    from rich.console import Console

    from streams.consumer import read
    from streams.offsets import parse_start
    from streams.topics import topic as spec_of

    spec = spec_of(topic)
    settings = load_settings({"broker": broker, "prefix": prefix}, config=config)
    name = spec.full_name(settings.prefix)
    records = read(broker_of(settings), name, parse_start(from_), follow=follow and json is None)
    wanted = _of(user, records, limit)
    if json is not None:
        found = [as_object(record) for record in wanted]
        write_json(json, {"topic": name, "from": from_, "user": user, "count": len(found), "records": found})
        typer.echo(f"{len(found):,} records of {name} written to {json}")
        return
    console = Console()
    for record in wanted:
        if lines:
            typer.echo(msgspec.json.encode(as_object(record)).decode())
        else:
            _show(console, record)


def _of(user: str | None, records: Iterable[Record], limit: int | None) -> Iterable[Record]:
    key = None if user is None else user.encode()
    count = 0
    for record in records:
        if key is None or record.key == key:
            yield record
            count += 1
            if count == limit:
                return


def as_object(record: Record) -> dict[str, Any]:
    """A record with its place, JSON-able; a value that is not JSON is given as text."""
    value: Any = None
    if record.value is not None:
        try:
            value = msgspec.json.decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = record.value.decode("utf-8", "replace")
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": None if record.key is None else record.key.decode("utf-8", "replace"),
        "value": value,
    }


def _show(console: Console, record: Record) -> None:
    from streams.codec import BadMessage, decode
    from streams.messages import RecommendationMessage

    shown = as_object(record)
    head = f"{_clock(record.timestamp)}  {record.partition}/{record.offset}  {shown['key']}"
    try:
        message = decode(RecommendationMessage, record.value, max_bytes=2**31)
    except BadMessage:
        # Not a list: the value on one line is what can be said of any record.
        console.print(
            f"{head}  {msgspec.json.encode(shown['value']).decode()}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print(f"{head}  {message.variant}, seen up to {_clock(message.horizon.ts_ms)}", markup=False, style="bold")
    for item in message.items:
        reasons = f"  ({'; '.join(item.reasons)})" if item.reasons else ""
        title = f"  {item.title}" if item.title else ""
        console.print(
            f"  {item.rank:>3}  {item.item_id}{title}  {item.score:.3f}  {item.source}{reasons}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if ms >= 0 else "(no time)"
