"""SASRec on amazon-beauty, leave-one-out: how near the streaming baseline's network comes to others' SASRec.

Run: ``python benchmarks/sasrec_beauty.py`` (some ten minutes on one thread). Each user's last event is the test, the
one before it the validation; every test item is ranked among all items of the log, history masked and not. The pass
with the best masked NDCG@10 on 2,000 validation users is kept. Events are learned in the published order, each for
itself, because this is what the figures to compare with were made from; that order is an artefact (see
``evaluation/protocols/holdout.py``).
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evaluation.coded import CodedLog, coded
from evaluation.metrics import gains, hits
from evaluation.protocols.candidates import Histories, candidate_scores, ranked
from evaluation.protocols.holdout import held_out
from evaluation.protocols.plan import Plan
from evaluation.readers import read_log
from models.baselines.recommender import Basket
from models.baselines.sasrec import SASRec

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "amazon-beauty" / "interactions.tsv.gz"
VALIDATED = 2_000


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--epochs", type=int, default=60, help="at most this many passes")
    parser.add_argument("--patience", type=int, default=6, help="passes without a better one before it ends")
    parser.add_argument("--dropout", type=float, default=0.5, help="as in the paper for Amazon's sparse sets")
    parser.add_argument("--batch", type=int, default=1_000, help="targets per update")
    parser.add_argument("--negatives", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    log = coded(read_log(args.data))
    rows = held_out(log, Plan("leave-one-out"))
    model = SASRec(first=len(log) + 1, dropout=args.dropout, batch=args.batch, negatives=args.negatives, seed=args.seed)
    for row in rows.learned.tolist():
        model.learn(alone(log, row))
    sample = np.random.default_rng(args.seed).choice(rows.validation, min(VALIDATED, len(rows.validation)), False)
    begun = time.perf_counter()
    epoch, score = train(model, log, sample, args.epochs, args.patience)
    for row in np.sort(rows.validation).tolist():
        model.follow(alone(log, row))
    table = Table(title=f"best pass {epoch}, validation NDCG@10 {score:.4f}, {time.perf_counter() - begun:,.0f} s")
    for column in ("history", "HR@5", "HR@10", "NDCG@5", "NDCG@10"):
        table.add_column(column)
    for mask in (True, False):
        ranks = ranks_of(model, log, rows.tests, mask=mask)
        figures = [metric(ranks, k).mean() for metric in (hits, gains) for k in (5, 10)]
        table.add_row("masked" if mask else "not masked", *(f"{figure:.4f}" for figure in figures))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def train(model: SASRec, log: CodedLog, sample: NDArray[np.int64], epochs: int, patience: int) -> tuple[int, float]:
    """Train pass by pass, and leave the weights of the best one; returns which it was, and its NDCG@10."""
    best, kept, weights = 0.0, 0, copy.deepcopy(model.network.state_dict())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=epochs)
        for epoch in range(1, epochs + 1):
            model.train(1, len(log))
            score = float(gains(ranks_of(model, log, sample, mask=True), 10).mean())
            bar.console.print(f"pass {epoch}: validation NDCG@10 {score:.4f}")
            bar.advance(task)
            if score > best:
                best, kept, weights = score, epoch, copy.deepcopy(model.network.state_dict())
            elif epoch - kept >= patience:
                break
    model.network.load_state_dict(weights)
    return kept, best


def ranks_of(model: SASRec, log: CodedLog, rows: NDArray[np.int64], *, mask: bool) -> NDArray[np.float64]:
    """Middle rank of each row's item for its user, as of what the model has seen, among all items of the log.

    With ``mask`` the user's other items are no candidates.
    """
    histories, ranks = Histories(log), []
    for row in rows.tolist():
        user, target = int(log.users[row]), int(log.items[row])
        scores = candidate_scores(model, user, int(log.ts[-1]), log.n_items, exact=False)
        if mask:
            met = histories.whole(user)
            scores[met[met != target]] = -np.inf
        ranks.append(ranked(model, scores, np.array([target]), 10)[0][0])
    return np.array(ranks)


def alone(log: CodedLog, row: int) -> Basket:
    """One event as a basket."""
    one = slice(row, row + 1)
    return Basket(int(log.users[row]), int(log.ts[row]), log.items[one], log.sign[one])


if __name__ == "__main__":
    main()
