"""`evergraph ablate DATA`: what each source of candidates and features adds to Evergraph's lists."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.experiment import compare
from streams.cli.experiment_options import Data, Options, split_names, with_options

HELP = """Evaluate Evergraph whole and without each of its sources.

Options are those of `evergraph evaluate`, and outcomes are kept as there, so
that the same folder runs the whole once for both.

evergraph ablate bundled --limit 50000 --sources graph,transitions
"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ablate", help=HELP)(ablate)


@with_options
def ablate(
    data: Data,
    options: Options,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Sources to leave out, each in turn, separated by commas. An unknown name lists all.",
            metavar="A,B",
            show_default="every one",
        ),
    ] = None,
) -> None:
    """Run, print, report."""
    from evaluation.contenders import EVERGRAPH, WITHOUT, source_names

    named = split_names(sources, "--sources") or tuple(source_names())
    compare(data, (EVERGRAPH, *(f"{WITHOUT}{source}" for source in named)), options, ablation=True)
