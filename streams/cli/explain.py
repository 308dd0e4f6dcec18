"""`evergraph explain USER`: the chains of reasons behind a user's list, as a tree and as a picture."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.options import BadOption, Config, Json, StateDir, Url, need_packages, write_json
from streams.cli.recommend import ask, worker_url
from streams.settings import load_settings

HELP = """Show why a user is thought to want what: each chain of items with its
reasons and how well they held up, and what could come next.

evergraph explain 17850

evergraph explain 17850 --item 22423 --picture chains.svg
"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("explain", help=HELP)(explain)


def explain(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    item: Annotated[
        str | None, typer.Option(help="Only the chains through this item, or behind which it was imagined.")
    ] = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(help="Draw the chains into this file, .svg or .png (may be repeated).", dir_okay=False),
    ] = None,
    url: Url = None,
    state_dir: StateDir = None,
    config: Config = None,
    json: Json = None,
) -> None:
    """Ask the worker, print a tree, draw."""
    from rich.console import Console

    from evaluation.reporting.chains import chain_document, chain_tree, only
    from streams.worker.reasoning import told_graph

    for what, given in (("USER", user), ("--item", item)):
        if given == "":
            raise BadOption(f"{what} is empty: give an id, for example `evergraph explain 17850 --item 22423`")
    if picture:
        need_packages("--picture", "matplotlib")
        from evaluation.reporting.chain_pictures import picture_form

        for path in picture:
            picture_form(path)
    settings = load_settings({"state_dir": state_dir}, config=config)
    address = (url or worker_url(settings)).rstrip("/")
    answer = ask(f"{address}/users/{urllib.parse.quote(user, safe='')}/reasoning")
    titles: dict[str, str] = answer["titles"]
    graph = told_graph(answer)

    def named(item_id: str) -> str:
        return titles.get(item_id, "")

    console = Console()
    if item is not None:
        graph = only(graph, item)
    if item is not None and not graph.steps:
        nothing = f"no chain of {user} leads to {item}, and none goes through it"
        undrawn = "; nothing is drawn" if picture else ""
        console.print(f"{nothing}: a list can name it only as like an item of a chain{undrawn}", markup=False)
    else:
        console.print(chain_tree(graph, named))
        for path in picture or ():
            from evaluation.reporting.chain_pictures import save_picture

            save_picture(graph, named, path)
            console.print(f"drawn: {path}", markup=False)
    if json is not None:
        write_json(json, chain_document(graph, named))
