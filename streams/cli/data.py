"""`evergraph data get|list`: public data sets from their original sources, checked, in a folder that reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evaluation.datasets.fetching import Tell

To = Annotated[
    Path | None,
    typer.Option(
        help="Folder that gets one folder per set.", show_default="EVERGRAPH_DATA, else ./data", file_okay=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    data = typer.Typer(help="Fetch public data sets from their original sources.", no_args_is_help=True)
    data.command("get", help="Fetch one set, check it, and lay it out as the readers expect.")(get)
    data.command("list", help="Show what can be fetched, its terms, and how it is checked.")(list_)
    app.add_typer(data, name="data")


def get(
    name: Annotated[str, typer.Argument(help="As `evergraph data list` shows it.", metavar="NAME")],
    to: To = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Address of a mirror with the same files.", show_default="the original source"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there, and replace it.")] = False,
) -> None:
    """Fetch, or say that it is there."""
    from evaluation.datasets import dataset, fetch

    wanted, root = dataset(name), _root(to)
    if (root / name).exists() and not force:
        typer.echo(f"{root / name} is there already; --force fetches it again")
        return
    typer.echo(f"{wanted.title} ({wanted.size})")
    typer.echo(f"terms: {wanted.licence}")
    typer.echo(f"cite: {wanted.cite}")
    with _bar() as tell:
        folder = fetch(wanted, root, mirror=from_, force=force, tell=tell)
    typer.echo(f"checked: {wanted.proof}")
    typer.echo(f"{folder} is ready: `evergraph validate {folder}` shows what is in it")


def list_(to: To = None) -> None:
    """Plain text, so that other programs can read it too."""
    from evaluation.datasets import DATASETS

    root = _root(to)
    for entry in DATASETS.values():
        here = f", in {root / entry.name}" if (root / entry.name).exists() else ""
        typer.echo(f"{entry.name}: {entry.title} ({entry.size}{here})")
        typer.echo(f"  terms: {entry.licence}")
        typer.echo(f"  checked by: {entry.proof}")


def _root(to: Path | None) -> Path:
    return to or Path(os.environ.get("EVERGRAPH_DATA") or "data")


@contextmanager
def _bar() -> Iterator[Tell]:
    """Draws on stderr while bytes come, and not while the files are read and checked: reading has its own bar."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, TaskID] = {}

    def tell(file: str, done: int, total: int | None) -> None:
        if file not in tasks:
            tasks[file] = progress.add_task(file)
        progress.start()
        progress.update(tasks[file], completed=done, total=total)
        if done == total:
            progress.stop()

    try:
        yield tell
    finally:
        progress.stop()
