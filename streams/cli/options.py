"""Options that several verbs share, declared once so that they read the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streams.settings import Settings

Broker = Annotated[
    str | None,
    typer.Option(help="Kafka, host:port[,host:port]. Default: EVERGRAPH_BROKER, else the broker of a running `up`."),
]
Prefix = Annotated[str | None, typer.Option(help="Before every topic name.", show_default="evergraph.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file with settings.", dir_okay=False)]
StateDir = Annotated[Path | None, typer.Option(help="Where snapshots, journal and logs live.", file_okay=False)]
Url = Annotated[str | None, typer.Option(help="The worker's address.", show_default="that of the worker here")]
Learner = Annotated[
    str | None,
    typer.Option(
        help="inline: the worker learns in its steps; trainer: a process beside it does.", show_default="inline"
    ),
]
Profiles = Annotated[
    bool | None,
    typer.Option(
        "--llm/--no-llm", help="User profiles, reasoning graphs and latent relations; and (`up`) an LLM worker."
    ),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file as one JSON object.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="Say which column is which, e.g. --map user_id=who (may be repeated).", metavar="K=V"),
]
Tz = Annotated[str | None, typer.Option(help="Time zone of times that name none.", show_default="UTC")]
Encoding = Annotated[
    str | None, typer.Option(help="Of text files, e.g. latin-1, cp1252, utf-16.", show_default="UTF-8, or the layout's")
]
AssumeSorted = Annotated[
    bool, typer.Option("--assume-sorted", help="Refuse a row that is earlier than one before it, instead of sorting.")
]
DropDuplicates = Annotated[
    bool,
    typer.Option("--drop-duplicates", help="Keep the first of the rows that say the same (user, item, type, time)."),
]


class BadOption(ValueError):
    """Raised for an option that does not follow its rule."""


def need_packages(option: str, *names: str) -> None:
    """Raises `BadOption` where packages of the extra `report` are missing that an option needs."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise BadOption(f"{option} needs {' and '.join(missing)}: pip install 'evergraph[report]'")


def mapping(pairs: Sequence[str] | None) -> dict[str, str]:
    """`["user_id=who"]` as a dict. Raises `BadOption`."""
    table: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, column = pair.partition("=")
        if not (equals and name and column):
            raise BadOption(f"--map {pair!r}: not name=column; for example --map user_id=who")
        table[name.strip()] = column.strip()
    return table


def broker_of(settings: Settings) -> str:
    """The broker that is set, else that of the worker running on this machine. Raises `BadOption`."""
    if settings.broker:
        return settings.broker
    note = settings.state_dir / "worker.json"
    try:
        found = msgspec.json.decode(note.read_bytes(), type=dict[str, Any]).get("broker")
    except (OSError, msgspec.MsgspecError):
        found = None
    if isinstance(found, str) and found:
        return found
    raise BadOption(
        "no broker: give --broker host:port (or EVERGRAPH_BROKER), or start everything here with `evergraph up`; "
        f"no worker has left its address in {settings.state_dir}, and one with another --state-dir is found by "
        "EVERGRAPH_STATE_DIR=DIR"
    )


def write_json(path: Path, figures: object) -> None:
    """Write one object, indented, with a newline at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
