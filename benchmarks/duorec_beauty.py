"""DuoRec and SASRec, leave-one-out, every item ranked: are the figures published for amazon-beauty reached?

Run: ``python benchmarks/duorec_beauty.py`` (two to four minutes an epoch on one thread, SASRec half of that; DuoRec
took 39 epochs). Every training is kept after each epoch under ``--out``; started again, it goes on. Each model is
trained and tested twice: in the published order, which is an artefact (items ascend by id within a user's day), and
with each user's days shuffled. Histories are masked and not: DuoRec's release does not, so its figures stand beside
"published order, not masked" only.

As published: Adam 1e-3, batches of 256, every prefix of a training sequence an example, at most 50 epochs. Reduced: the
NDCG@10 that ends a training (not masked) is of 5,000 validation users instead of all, and 5 epochs without a better one
end it instead of 10. ``--data`` takes any log, and ``--users`` only some of its users, where all would take days.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import get_args

import torch
from arguments import device, one_of, several, whole
from rich.console import Console

from evaluation.coded import coded
from evaluation.kept_files import KeptFileError
from evaluation.readers import read_log
from evaluation.reasoning.bases import BASES, trained_base
from evaluation.reasoning.held_out import HeldOutHistories, Order
from evaluation.reasoning.outcomes import Outcomes, Run
from evaluation.reasoning.progress import TrainingBar
from evaluation.reasoning.tables import figures_table
from evaluation.reasoning.training import Schedule

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "amazon-beauty" / "interactions.tsv.gz"
PUBLISHED = ("DuoRec, as published", (0.0552, 0.0839, 0.0350, 0.0447))


def main() -> None:
    """Parse, train what is not finished, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--users", type=whole(1), help="only so many, drawn with seed 0; all unless given")
    parser.add_argument("--out", type=Path, default=Path("out/duorec-beauty"))
    parser.add_argument("--models", type=several(one_of(BASES)), default="duorec|sasrec")
    parser.add_argument("--orders", type=several(one_of(get_args(Order))), default="published|shuffled")
    parser.add_argument(
        "--seeds", type=several(whole(0), ","), default="0", help="of weights, batches and shuffles: 0,1,2"
    )
    parser.add_argument("--epochs", type=whole(1), default=Schedule.epochs, help="at most this many")
    parser.add_argument("--device", type=device, default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        log = coded(read_log(args.data))
        log = log if args.users is None else log.some_users(args.users)
        outcomes = Outcomes(args.out, {"log": log.digest, "most epochs": str(args.epochs)})
        runs = [Run(name, order, seed) for seed in args.seeds for order in args.orders for name in args.models]
        # What is kept and cannot be read is said now, not when its turn comes in hours.
        for run in runs:
            outcomes.find(run)
        data = {of: HeldOutHistories.of(log, *of) for of in dict.fromkeys((run.order, run.seed) for run in runs)}
    except ValueError as fault:
        parser.error(str(fault))
    found = []
    for run in runs:
        schedule = Schedule(epochs=args.epochs, seed=run.seed)
        try:
            with TrainingBar(run) as bar:
                found.append(trained_base(run, data[run.order, run.seed], schedule, outcomes, args.device, bar.tell))
        except KeptFileError as fault:
            raise SystemExit(str(fault)) from None
    comparable = args.data == DATA and args.users is None
    Console(width=None if sys.stdout.isatty() else 160).print(
        figures_table(f"{log.name}, leave-one-out, all items ranked", found, PUBLISHED if comparable else None)
    )


if __name__ == "__main__":
    main()
