"""Link prediction on ctdg-wikipedia: simple scorers, PyG's TGN and ours under one protocol.

Run: ``python benchmarks/link_prediction.py --models popularity,edgebank,tiers --batch 200`` (seconds), or with
``--models tgn,pyg --epochs 20`` (about ten minutes each on one thread). The protocol is that of
``evaluation/link_prediction.py``: 70/15/15 in time, every test event ranked against all 1,000 pages, ties at the
middle, predict before update, state carried from train through validation into test. The graph has no edge features
here, so no figure compares with those that use them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evaluation.link_prediction import LinkScorer, Split, feed, rank, report, time_split
from evaluation.link_scorers import SIMPLE_SCORERS
from evaluation.readers import DataFileError
from evaluation.readers.edges import EdgeLog, read_edges

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "ctdg-wikipedia" / "ml_wikipedia.txt.gz"
LEARNED = ("tgn", "pyg")


class Learner(LinkScorer, Protocol):
    """A scorer that is trained over epochs first."""

    def fit(
        self,
        log: EdgeLog,
        split: Split,
        *,
        epochs: int,
        batch: int,
        patience: int | None,
        seed: int,
        tick: Callable[[int], None],
    ) -> int:
        """Train; returns the epoch that is kept and leaves the state at the end of the train events."""
        ...


def main() -> None:
    """Parse, run, print, write."""
    args = parsed()
    torch.set_num_threads(args.threads)
    try:
        log = read_edges(args.data)
    except DataFileError as error:
        sys.exit(f"{error} (set EVERGRAPH_DATA or --data to where the set lies)")
    split = time_split(log)
    console = Console(stderr=True)
    rows = []
    for name in args.models:
        for seed in args.seeds if name in LEARNED else args.seeds[:1]:
            rows.append(row(name, seed, log, split, args, console))
    show(rows)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": rows})) + b"\n")


def parsed() -> argparse.Namespace:
    """The options. A model that is not known ends here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = (*SIMPLE_SCORERS, *LEARNED)
    parser.add_argument("--models", default=",".join(SIMPLE_SCORERS), help=f"some of: {', '.join(known)}")
    parser.add_argument("--batch", type=int, default=200, help="events ranked before any of them is seen")
    parser.add_argument("--train-batch", type=int, help="batch of learning models while they train (default: --batch)")
    parser.add_argument("--epochs", type=int, default=20, help="over the train events, of learning models")
    parser.add_argument(
        "--patience", type=int, help="keep the epoch of the best validation MRR, stop after so many worse"
    )
    parser.add_argument("--lr", type=float, help="learning rate (default: 1e-3 of pyg, the preset's of tgn)")
    parser.add_argument("--set", default="", help="settings of tgn, e.g. loss=bpr,draws=0")
    parser.add_argument("--seeds", default="0", help="of learning models, e.g. 0,1,2")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--data", type=Path, default=DATA, help="ml_wikipedia.txt(.gz)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    args.models = args.models.split(",")
    args.seeds = [int(seed) for seed in args.seeds.split(",")]
    if unknown := [name for name in args.models if name not in known]:
        parser.error(f"--models {unknown[0]}: not a model; use some of {', '.join(known)}")
    for name in ("batch", "epochs", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: must be 1 or more")
    return args


def row(name: str, seed: int, log: EdgeLog, split: Split, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train if there is something to train, go through validation, rank the test events."""
    train_batch = args.train_batch or args.batch
    epochs = args.epochs if name in LEARNED else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{name}, training" if epochs else name, total=max(epochs, 1) * split.train)
        begun = time.perf_counter()
        kept = 0
        scorer: LinkScorer
        if name in LEARNED:
            scorer = model = learner(name, log, seed, args)
            kept = model.fit(
                log,
                split,
                epochs=epochs,
                batch=train_batch,
                patience=args.patience,
                seed=seed,
                tick=lambda n: progress.advance(task, n),
            )
        else:
            scorer = SIMPLE_SCORERS[name](log.n_users, log.n_items)
            feed(scorer, log, 0, split.train, train_batch, tick=lambda n: progress.advance(task, n))
        trained = time.perf_counter()
        progress.reset(task, description=f"{name}, validation and test", total=split.end - split.train)
        parts = {}
        for part, start, stop in (
            ("validation", split.train, split.validation),
            ("test", split.validation, split.end),
        ):
            ranking = rank(scorer, log, start, stop, args.batch, tick=lambda n: progress.advance(task, n))
            parts[part] = report(ranking, log, start, args.batch)
        done = time.perf_counter()
    return {
        "model": name,
        "data": "ctdg-wikipedia",
        "seed": seed if name in LEARNED else None,
        "epochs": epochs,
        "kept_epoch": kept,
        "train_batch": train_batch,
        **parts["test"].row(),
        "validation_mrr": parts["validation"].mrr,
        "train_seconds": round(trained - begun, 1),
        "rank_seconds": round(done - trained, 1),
        "threads": args.threads,
        "cpu": platform.processor() or platform.machine(),
        "notes": peer_notes() if name == "pyg" else args.set if name == "tgn" else "",
    }


def learner(name: str, log: EdgeLog, seed: int, args: argparse.Namespace) -> Learner:
    """A fresh model. Imported here, so that simple scorers run where the peer is not installed."""
    width = log.features.shape[1]
    if name == "pyg":
        from pyg_tgn import PygTGN

        return PygTGN(log.n_users, log.n_items, width, len(log), seed=seed, lr=args.lr or 1e-3)
    from ours_tgn import OurTGN

    settings = {"loss": "softmax", **settings_of(args.set)}
    if args.lr is not None:
        settings["lr"] = args.lr
    return OurTGN(log.n_users, log.n_items, width, seed=seed, **settings)


def settings_of(text: str) -> dict[str, Any]:
    """``name=value,…`` as settings of the encoder. Exits naming what is no setting, or no value of it."""
    from models.tgn import TGNConfig

    kinds = {field.name: field.type for field in msgspec.structs.fields(TGNConfig)}
    settings = {}
    for name, equals, value in (pair.partition("=") for pair in text.split(",") if pair):
        if not equals or name not in kinds:
            sys.exit(f"--set {name}: write name=value with a name of: {', '.join(kinds)}")
        try:
            settings[name] = msgspec.convert(value, kinds[name], strict=False)
        except msgspec.ValidationError as error:
            sys.exit(f"--set {name}={value}: {error}")
    return settings


def peer_notes() -> str:
    """How the peer is installed."""
    from pyg_tgn import notes

    return notes()


def show(rows: list[dict[str, Any]]) -> None:
    """A table on standard output."""
    table = Table(title="ctdg-wikipedia, test events against all pages, state carried, no edge features")
    for heading in (
        "model",
        "batch",
        "epochs",
        "seed",
        "MRR",
        "first-time",
        "Hits@1",
        "Hits@10",
        "AP",
        "train s",
        "rank s",
    ):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for it in rows:
        epochs = f"{it['kept_epoch']} of {it['epochs']}" if it["epochs"] else "-"
        seed = "-" if it["seed"] is None else str(it["seed"])
        figures = (f"{it[key]:.4f}" for key in ("mrr", "first_time_mrr", "hits_1", "hits_10", "average_precision"))
        seconds = (str(it["train_seconds"]), str(it["rank_seconds"]))
        table.add_row(it["model"], str(it["batch"]), epochs, seed, *figures, *seconds)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
