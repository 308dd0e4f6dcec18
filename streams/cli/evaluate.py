"""`evergraph evaluate DATA`: Evergraph and its baselines on one log, under one protocol, with intervals."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.experiment import compare
from streams.cli.experiment_options import Data, Options, split_names, with_options

HELP = """Compare Evergraph with its baselines on a log, in the order of time.

prequential: every event is ranked before it is learned. time-split: so are
the last 15 %. leave-one-out: each user's last event among all items.
leave-one-out-sampled: among random items, for comparison with papers only.

Each model is finished in turn and kept: a stopped run goes on with the same
command. The same seed gives the same figures, times apart.

evergraph evaluate bundled --limit 50000 --report out

evergraph evaluate ml-1m --mask-seen --sample 20000 --models evergraph,blend
"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate", help=HELP)(evaluate)


@with_options
def evaluate(
    data: Data,
    options: Options,
    models: Annotated[
        str | None,
        typer.Option(
            help="Which ones, separated by commas; the first is compared with the others. An unknown name lists all.",
            metavar="A,B",
            show_default="evergraph and every baseline",
        ),
    ] = None,
) -> None:
    """Run, print, report."""
    from evaluation.contenders import contender_names

    compare(data, split_names(models, "--models") or tuple(contender_names()), options)
