"""`evergraph up`: everything on this machine, supervised, one Ctrl-C stops all."""

from __future__ import annotations

import shlex
import signal
from typing import Annotated, Any

import typer

from streams.cli.options import Config, Learner, Prefix, Profiles, StateDir
from streams.settings import Settings, llm_layer, load_settings

Broker = Annotated[
    str | None,
    typer.Option(help="Use this Kafka (host:port) instead of the embedded broker.", show_default="embedded"),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("up", help="Start broker, topics and workers here; Ctrl-C stops all.")(up)


def up(
    broker: Broker = None,
    broker_port: Annotated[
        int | None, typer.Option(help="Port of the embedded broker.", show_default="any free one")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of lists, histories and state.", show_default="8321")
    ] = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of `interactions`.")] = None,
    prefix: Prefix = None,
    state_dir: StateDir = None,
    clock: Annotated[str | None, typer.Option(help="wall, or log for replayed logs of the past.")] = None,
    learner: Learner = None,
    profiles: Profiles = None,
    config: Config = None,
) -> None:
    """Run until interrupted."""
    from rich.console import Console

    from streams.supervisor import Installation

    settings = load_settings(
        {
            "broker": broker,
            "broker_port": broker_port,
            "http_port": http_port,
            "partitions": partitions,
            "prefix": prefix,
            "state_dir": state_dir,
            "clock": clock,
            "learner": learner,
            **llm_layer(profiles),
        },
        config=config,
    )
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, _as_interrupt)
    with Installation(settings, tell=console.print) as installation:
        kind = "broker" if settings.broker else "embedded broker"
        console.print(f"{kind} at [bold]{installation.broker}[/]; the worker is starting")
        try:
            url = installation.wait_ready()
            console.print(f"ready: lists and state at [bold]{url}[/], logs in {settings.state_dir}")
            publish, recommend = next_commands(settings, installation.broker)
            console.print(f"next: `{publish}`, `{recommend}`, Ctrl-C to stop", markup=False, soft_wrap=True)
            installation.watch()
        except KeyboardInterrupt:
            console.print("stopping (the worker writes a snapshot)")


def next_commands(settings: Settings, broker: str) -> tuple[str, str]:
    """How to publish to this installation and ask it, with what the two commands would not find by themselves."""
    known = load_settings()
    publish, recommend = "evergraph publish FILE", "evergraph recommend USER"
    if known.state_dir.absolute() != settings.state_dir.absolute():
        publish += f" --broker {broker}"
        recommend += f" --state-dir {shlex.quote(str(settings.state_dir))}"
    if known.prefix != settings.prefix:
        publish += f" --prefix {settings.prefix}"
    return publish, recommend


def _as_interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
