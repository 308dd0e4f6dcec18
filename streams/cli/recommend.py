"""`evergraph recommend USER`: a fresh list with its reasons, through the worker's HTTP port."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Annotated, Any

import typer

from streams.cli.options import Config, Json, StateDir, Url, write_json
from streams.settings import Settings, load_settings


class WorkerUnreachable(RuntimeError):
    """Raised when no worker answers; the text names where was asked and what to do."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("recommend", help="Show what a user should see now, and why.")(recommend)


def recommend(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    url: Url = None,
    k: Annotated[int, typer.Option(min=1, max=1_000, help="How many items.")] = 10,
    state_dir: StateDir = None,
    config: Config = None,
    json: Json = None,
) -> None:
    """Ask the worker and print a table."""
    settings = load_settings({"state_dir": state_dir}, config=config)
    address = (url or worker_url(settings)).rstrip("/")
    answer = ask(f"{address}/lists/{urllib.parse.quote(user, safe='')}?k={k}")
    if json is not None:
        write_json(json, answer)
    show(user, answer)


def show(user: str, answer: dict[str, Any]) -> None:
    """Print a list as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not answer["items"]:
        console.print(f"nothing to recommend to {user} yet: the graph holds no item", markup=False)
        return
    table = Table(title=f"for {user}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title")
    table.add_column("score", justify="right")
    table.add_column("why")
    for item in answer["items"]:
        why = "; ".join(item["reasons"]) or item["source"]
        table.add_row(str(item["rank"]), item["item_id"], item["title"], f"{item['score']:.3f}", why)
    console.print(table)


def worker_url(settings: Settings) -> str:
    """Where this machine's worker serves, else the address in the settings."""
    from streams.worker.note import read_note

    note = read_note(settings.state_dir)
    if note is not None and isinstance(note.get("url"), str):
        return str(note["url"])
    return f"http://{settings.http_host}:{settings.http_port}"


def ask(url: str, timeout_s: float = 10.0) -> dict[str, Any]:
    """GET a JSON object. Raises `WorkerUnreachable`, also with the worker's own words where it refuses."""
    import msgspec

    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return msgspec.json.decode(response.read(), type=dict[str, Any])
    except urllib.error.HTTPError as error:
        body = error.read()
        try:
            told = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            told = {
                "error": error.reason,
                "rule": f"HTTP {error.code}",
                "fix": "is this an evergraph worker?",
            }
        raise WorkerUnreachable(f"{told.get('error')}: {told.get('rule')}; {told.get('fix')}") from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise WorkerUnreachable(
            f"no worker answers at {url} ({reason}): start one with `evergraph up`, or give --url"
        ) from None
