"""Do latent relations from language help? RCF and KDA with and without LRD, leave-one-out, 99 drawn negatives.

    python benchmarks/latent_relations.py --data ml-100k
    python benchmarks/latent_relations.py --data amazon-beauty --rows "kda|kda+lrd" --seeds 0
    python benchmarks/latent_relations.py --data ml-100k --rows controls
    python benchmarks/latent_relations.py --data ml-100k --rows all --show

Each run (row, seed) is kept below --out as soon as it ends; started again, the script goes on where it stood, and with
--show it only prints what is there. What is reduced against the authors' release, the same for all rows: 32 dimensions
instead of 64 (2 heads instead of 4), one pass of self-attention instead of five, learning rate 3e-3 instead of 1e-3
(RCF: 1e-4), λ = 1 instead of 10, 50,000 examples per epoch, at most 30 epochs instead of 200. The epoch is chosen on
1,000 validation users. One thread.
"""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import torch
from arguments import above_zero, several, whole
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evaluation.coded import coded
from evaluation.kept_files import KeptFileError
from evaluation.readers import read_log
from evaluation.relations.rows import CONTROLS, MAIN, ROWS, TEXT, Row
from evaluation.relations.runs import Run
from evaluation.relations.study import COMMON, Study, table_of, usage_table
from evaluation.relations.tables import shown
from evaluation.relations.training import Budget, Tell
from models.lrd.config import Entropy

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data"))
FILES = {"ml-100k": "ml-100k.inter.gz", "amazon-beauty": "interactions.tsv.gz"}


def main() -> None:
    """Parse, train what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="ml-100k", help=f"{', '.join(FILES)}, or the path of a log")
    parser.add_argument(
        "--rows", type=rows_of, default="main", help='main, text, controls, all, or names: "kda|kda+lrd"'
    )
    parser.add_argument("--seeds", type=several(whole(0), ","), default="0,1,2")
    parser.add_argument("--shuffle", type=whole(0), help="seed: let events of one user and moment change places")
    parser.add_argument("--out", type=Path, default=Path("out/latent-relations"), help="where runs are kept")
    parser.add_argument("--epochs", type=whole(1), default=Budget.epochs, help="at most this many")
    parser.add_argument("--lambda", type=float, default=COMMON.lambda_, dest="lambda_", help="weight of L_LRD")
    parser.add_argument("--entropy", choices=get_args(Entropy), default=COMMON.entropy, help="of the posterior")
    parser.add_argument("--latent", type=whole(0), default=COMMON.latent, help="K of the KDA rows with LRD (RCF: 5)")
    parser.add_argument("--gate", action="store_true", help="q weighs the attention in all rows with LRD")
    parser.add_argument("--lr", type=above_zero, default=COMMON.lr, help="learning rate")
    parser.add_argument("--layers", type=whole(1), default=COMMON.layers, help="passes of self-attention")
    parser.add_argument("--names", action="store_true", help="also print what each latent relation is about")
    parser.add_argument("--show", action="store_true", help="train nothing, print what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = DATA / args.data / FILES[args.data] if args.data in FILES else Path(args.data)
    name = args.data if args.data in FILES else path.stem
    if args.shuffle is not None:
        name += f"-shuffled-{args.shuffle}"
    budget = replace(Budget(), epochs=args.epochs)
    try:
        common = msgspec.structs.replace(
            COMMON,
            lambda_=args.lambda_,
            entropy=args.entropy,
            latent=args.latent,
            posterior_at_inference=args.gate,
            lr=args.lr,
            layers=args.layers,
        )
        log = coded(read_log(path))
        study = Study(log, name, args.out, common=common, budget=budget, shuffle=args.shuffle)
        # What is kept and cannot be read is said now, not when its turn comes in hours.
        for row in args.rows:
            for seed in args.seeds:
                study.found(row, seed)
    except ValueError as fault:
        parser.error(str(fault))
    runs = carried_out(study, args.rows, args.seeds, only_kept=args.show)
    console = Console(width=None if sys.stdout.isatty() else 220)
    console.print(table_of(name, runs))
    if any(run.usage for run in runs):
        console.print(usage_table(name, runs))
    for run in runs if args.names else []:
        if run.config.latent and run.usage:
            title = f"{name}, {run.row}, seed {run.seed}: latent relations by their strongest pairs"
            try:
                console.print(shown(title, study.table(ROWS[run.row], run.seed), log))
            except KeptFileError as fault:
                raise SystemExit(str(fault)) from None


def carried_out(study: Study, rows: Sequence[Row], seeds: Sequence[int], *, only_kept: bool) -> list[Run]:
    """All rows of a seed before the next seed, so that a comparison stands early; returned by row."""
    runs: list[Run] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        overall = bar.add_task("runs", total=len(rows) * len(seeds))
        for seed in seeds:
            for row in rows:
                if not only_kept or study.kept(row, seed):
                    runs.append(study.run(row, seed, telling(bar, study)))
                bar.advance(overall)
    order = {row.name: place for place, row in enumerate(rows)}
    return sorted(runs, key=lambda run: (order[run.row], run.seed))


def telling(bar: Progress, study: Study) -> Callable[[Row, int], Tell]:
    """For a run, what shows its epochs."""

    def of(row: Row, seed: int) -> Tell:
        task = bar.add_task(f"{study.data}, {row.name}, seed {seed}", total=study.epochs)

        def tell(epochs: int, score: float) -> None:
            bar.update(task, completed=epochs)
            bar.console.print(f"{study.data}, {row.name}, seed {seed}: epoch {epochs}, validation NDCG@5 {score:.4f}")

        return tell

    return of


def rows_of(asked: str) -> Sequence[Row]:
    """A group of rows, or rows by name."""
    groups = {"main": MAIN, "text": TEXT, "controls": CONTROLS, "all": (*MAIN, *TEXT, *CONTROLS)}
    if asked in groups:
        return groups[asked]
    names = list(dict.fromkeys(name.strip() for name in asked.split("|")))
    if unknown := [name for name in names if name not in ROWS]:
        known = f"{', '.join(groups)} or some of: {' | '.join(ROWS)}"
        raise ArgumentTypeError(f"row {unknown[0]!r} is unknown; use {known}")
    return [ROWS[name] for name in names]


if __name__ == "__main__":
    main()
