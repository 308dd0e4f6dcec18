"""`evergraph worker`: one worker process against a broker that runs."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import Annotated

import typer

from streams.cli.options import Broker, Config, Learner, Prefix, Profiles, StateDir, broker_of
from streams.settings import Settings, llm_layer, load_settings

Batching = Annotated[str | None, typer.Option(help="adaptive, or fixed:B for a border at every offset divisible by B.")]
HttpPort = Annotated[int | None, typer.Option(help="Read-only JSON port; 0 takes any free one.", show_default="8321")]
Learn = Annotated[bool | None, typer.Option("--learn/--no-learn", help="Learn on line from every event.")]


class Role(StrEnum):
    """What a worker does: `graph` serves, `trainer` learns beside it (see `--learner`), `llm` makes user profiles."""

    GRAPH = "graph"
    TRAINER = "trainer"
    LLM = "llm"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("worker", help="Run one worker: interactions in, fresh lists out; or what works beside it.")(worker)


def worker(
    role: Annotated[Role, typer.Option(help="What it does.")] = Role.GRAPH,
    broker: Broker = None,
    prefix: Prefix = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of `interactions`.")] = None,
    state_dir: StateDir = None,
    http_port: HttpPort = None,
    batching: Batching = None,
    learn: Learn = None,
    learner: Learner = None,
    profiles: Profiles = None,
    clock: Annotated[
        str | None, typer.Option(help="wall, or log: now is the newest event's time (replayed logs).")
    ] = None,
    config: Config = None,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Work until stopped by Ctrl-C or TERM.

    Exit codes: 2 a setting is wrong, 3 state does not fit log or settings, 1 and 4 may be restarted.
    """
    settings = load_settings(
        {
            "broker": broker,
            "prefix": prefix,
            "partitions": partitions,
            "state_dir": state_dir,
            "llm_http_port" if role is Role.LLM else "http_port": http_port,
            "batching": batching,
            "learn": learn,
            "learner": learner,
            **llm_layer(profiles),
            "clock": clock,
        },
        config=config,
    )
    address = broker_of(settings)
    _log_to_stderr(settings)
    from streams.worker.exit_codes import ExitCode, StateError

    try:
        if role is Role.LLM:
            from streams.llm.process import run_llm_worker

            sys.exit(run_llm_worker(settings, address, supervised=supervised))
        from streams.worker.process import Role as WorkerRole
        from streams.worker.process import run_worker

        code = run_worker(settings, address, role=WorkerRole(role), supervised=supervised)
    except StateError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(ExitCode.STATE)
    sys.exit(code)


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    if settings.log_level != "DEBUG":
        # The clients tell every step of a rebalance; what matters of it the worker says itself.
        for noisy in ("aiokafka", "kafka", "faust", "mode", "asyncio", "streams.worker.app"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
