"""`evergraph ablate`: what each source adds to Evergraph's lists, or each part of DynLLM to its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.experiment import compare
from streams.cli.experiment_options import Options, split_names, with_options
from streams.cli.options import BadOption

HELP = """Evaluate Evergraph whole and without each of its sources, or DynLLM
(user profiles and item texts beside the temporal graph) part by part.

Options are those of `evergraph evaluate`, and outcomes are kept as there, so
that the same folder runs the whole once for both.

evergraph ablate bundled --limit 50000 --sources graph,transitions

evergraph ablate dynllm bundled --limit 50000 --cold-item-events 3
"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ablate", help=HELP)(ablate)


@with_options
def ablate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[dynllm] DATA",
            help="A log file or folder (see `evergraph validate`), or `bundled` for the data in the package; "
            "before it `dynllm` for the parts of DynLLM.",
        ),
    ],
    options: Options,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Sources to leave out, each in turn, separated by commas. An unknown name lists all.",
            metavar="A,B",
            show_default="every one",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="With dynllm: rows of the table, separated by |. An unknown name lists all.",
            metavar="A|B",
            show_default="every one",
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(help="With dynllm: a cache of recorded answers (`evergraph llm import-answers`).", dir_okay=False),
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --answers: the model that gave them.", metavar="NAME")] = None,
) -> None:
    """Run, print, report."""
    from evaluation.contenders import EVERGRAPH, WITHOUT, source_names
    from evaluation.experiments.experiment import DYNLLM, SOURCES
    from evaluation.profiles.makers import Recorded
    from evaluation.profiles.rows import RECORDED, is_recorded

    if what[0] == DYNLLM and len(what) == 2:
        if sources is not None:
            raise BadOption("--sources are parts of Evergraph; use --rows with dynllm")
        if (answers is None) != (model is None):
            raise BadOption("--answers and --model go together: a cache file, and the model whose answers it holds")
        found = Recorded(answers, model) if answers is not None and model is not None else None
        asked = _rows(rows)
        if found is not None and not any(is_recorded(name) for name in asked):
            raise BadOption(f"--answers: no row that is asked for reads them; name {RECORDED!r} among --rows")
        compare(what[1], asked, options, ablation=DYNLLM, answers=found)
        return
    if len(what) != 1 or rows is not None or answers is not None:
        raise BadOption(
            f"{' '.join(what)!r}: give one log, or `dynllm` and one log; --rows and --answers go with dynllm"
        )
    named = split_names(sources, "--sources") or tuple(source_names())
    compare(what[0], (EVERGRAPH, *(f"{WITHOUT}{source}" for source in named)), options, ablation=SOURCES)


def _rows(asked: str | None) -> tuple[str, ...]:
    """The rows to run, in the order of the table."""
    from evaluation.profiles.rows import default_rows, is_row, row_names

    if asked is None:
        return tuple(default_rows())
    names = tuple(name.strip() for name in asked.split("|") if name.strip())
    if unknown := [name for name in names if not is_row(name)]:
        raise BadOption(f"--rows: {unknown[0]!r} is no row; the rows are: {' | '.join(row_names())}")
    return names
