"""What a batch costs in quality: one trained TGN, the same validation events, batches of 1, 50, 200 and 1,000.

Run: ``python benchmarks/batch_size.py --epochs 10`` (some minutes on one thread). All events of a batch are ranked
against all pages before any of them is seen, and a node that comes twice in a batch keeps the message of its last event
only, so larger batches know less. Weights stay as they were trained; memory and neighbours go on from the end of the
train events for each batch anew. Only validation events are looked at: the test events are for the final figures.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from link_prediction import DATA, settings_of
from ours_tgn import OurTGN
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evaluation.link_prediction import rank, report, time_split
from evaluation.readers import DataFileError
from evaluation.readers.edges import read_edges

BATCHES = "1,50,200,1000"


def main() -> None:
    """Train, rank with every batch, print, write."""
    args = parsed()
    torch.set_num_threads(args.threads)
    try:
        log = read_edges(args.data)
    except DataFileError as error:
        sys.exit(f"{error} (set EVERGRAPH_DATA or --data to where the set lies)")
    split = time_split(log)
    start, stop = split.train, min(split.train + args.events, split.validation) if args.events else split.validation
    settings = {"loss": "softmax", **settings_of(args.set)}
    model = OurTGN(log.n_users, log.n_items, log.features.shape[1], seed=args.seed, **settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows: list[dict[str, Any]] = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        training = progress.add_task("training", total=args.epochs * split.train)
        model.fit(
            log,
            split,
            epochs=args.epochs,
            batch=args.train_batch,
            seed=args.seed,
            tick=partial(progress.advance, training),
        )
        trained = copy.deepcopy((model.encoder.state(), model.graph.state()))
        for batch in args.batches:
            model.encoder.load_state(trained[0])
            model.graph.load_state(trained[1])
            task = progress.add_task(f"batch {batch}", total=stop - start)
            begun = time.perf_counter()
            ranking = rank(model, log, start, stop, batch, tick=partial(progress.advance, task))
            seconds = round(time.perf_counter() - begun, 1)
            figures = report(ranking, log, start, batch).row()
            rows.append({**figures, "seconds": seconds, "epochs": args.epochs, "train_batch": args.train_batch})
    show(rows)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": rows})) + b"\n")


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default=BATCHES, help=f"events ranked before any is seen (default {BATCHES})")
    parser.add_argument("--epochs", type=int, default=10, help="over the train events")
    parser.add_argument("--train-batch", type=int, default=200, help="batch of the training")
    parser.add_argument("--events", type=int, default=0, help="only so many validation events (default: all 23,621)")
    parser.add_argument("--set", default="", help="settings of the encoder, e.g. aggregator=mean,layers=2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--data", type=Path, default=DATA, help="ml_wikipedia.txt(.gz)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    try:
        args.batches = [int(batch) for batch in args.batches.split(",")]
    except ValueError:
        parser.error(f"--batches {args.batches}: must be whole numbers with commas between, e.g. {BATCHES}")
    if (smallest := min(args.batches)) < 1:
        parser.error(f"--batches {smallest}: a batch holds 1 event or more")
    for name, least in (("epochs", 1), ("train_batch", 1), ("events", 0), ("threads", 1)):
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}: must be {least} or more")
    return args


def show(rows: list[dict[str, Any]]) -> None:
    """A table on standard output; the gap is that of the MRR to the smallest batch's."""
    best = min(rows, key=lambda it: it["batch"])
    table = Table(
        title=f"tgn, {rows[0]['epochs']} epochs at batch {rows[0]['train_batch']}; "
        f"{rows[0]['events']:,} validation events against all pages"
    )
    for heading in ("batch", "MRR", f"gap to {best['batch']}", "first-time", "Hits@1", "Hits@10", "seconds"):
        table.add_column(heading, justify="right")
    for it in rows:
        figures = (f"{it[key]:.4f}" for key in ("first_time_mrr", "hits_1", "hits_10"))
        gap = f"{it['mrr'] / best['mrr'] - 1:+.1%}"
        table.add_row(str(it["batch"]), f"{it['mrr']:.4f}", gap, *figures, str(it["seconds"]))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    main()
