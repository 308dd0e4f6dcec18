"""`evergraph topics create|list|schema`: the topics as the broker has them, and what goes through them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from streams.cli.options import Broker, Config, Prefix, broker_of
from streams.settings import load_settings

Partitions = Annotated[int | None, typer.Option(help="Partitions of `interactions`: the number of shards.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    topics = typer.Typer(help="Create, list and describe the topics.", no_args_is_help=True)
    topics.command("create", help="Create what is missing and check what is there.")(create)
    topics.command("list", help="Show every topic and whether the broker has it.")(list_)
    topics.command("schema", help="Print the JSON Schema of one topic, or of all as AsyncAPI 3.")(schema)
    app.add_typer(topics, name="topics")


def create(
    broker: Broker = None,
    prefix: Prefix = None,
    partitions: Partitions = None,
    llm_partitions: Annotated[
        int | None,
        typer.Option(help="Partitions of `llm-jobs`: most LLM workers that share them.", show_default="4"),
    ] = None,
    replication: Annotated[int, typer.Option(help="Copies of each partition; -1: what the broker is set to.")] = -1,
    config: Config = None,
) -> None:
    """Create the topics; safe to repeat."""
    from streams.admin import create_topics

    flags = {"broker": broker, "prefix": prefix, "partitions": partitions, "llm_partitions": llm_partitions}
    settings = load_settings(flags, config=config)
    created = create_topics(
        broker_of(settings),
        settings.prefix,
        settings.partitions,
        llm_partitions=settings.llm_partitions,
        replication=replication,
    )
    for name in created:
        typer.echo(f"created {name}")
    typer.echo("all topics are there" if not created else f"{len(created)} topics created, all are usable")


def list_(broker: Broker = None, prefix: Prefix = None, config: Config = None) -> None:
    """Show a table, plain, so that other programs can read it too."""
    from streams.admin import list_topics

    settings = load_settings({"broker": broker, "prefix": prefix}, config=config)
    rows = [("topic", "partitions", "key", "kept", "about")]
    for state in list_topics(broker_of(settings), settings.prefix):
        found = str(state.partitions) if state.exists else "missing"
        rows.append((state.name, found, state.spec.key, state.spec.cleanup, state.spec.about))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[-1]]))


def schema(
    name: Annotated[str | None, typer.Argument(help="A topic without its prefix, e.g. interactions.")] = None,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="All topics as one AsyncAPI 3 document.")] = False,
    prefix: Prefix = None,
) -> None:
    """Print JSON."""
    from evergraph.version import __version__
    from streams import schemas
    from streams.topics import TOPICS, topic

    document: Any
    if asyncapi:
        document = schemas.asyncapi(__version__, load_settings({"prefix": prefix}).prefix)
    elif name is None:
        document = {spec.name: schemas.json_schema(spec) for spec in TOPICS}
    else:
        document = schemas.json_schema(topic(name))
    typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
