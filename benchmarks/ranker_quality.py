"""Link prediction on ctdg-wikipedia (protocol P3) through the real engine: ranker, its sources and the TGN together.

Every event of the last 15 % is ranked among all pages, ties share their middle rank, a batch is ranked before any of
it is seen. Ranker and TGN learn on line all the way, the test events included, each only after it has been ranked.
Settings were chosen on the first 85 %; ``--part validation`` shows the figures of the last part of that.

    python benchmarks/ranker_quality.py --batch 200
    python benchmarks/ranker_quality.py --batch 1
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dyngraph.engine import Engine
from dyngraph.events import EventType, Interaction
from evaluation.link_prediction import first_times, time_split
from evaluation.metrics import hit_rate, mrr
from evaluation.readers import DataFileError
from evaluation.readers.edges import EdgeLog, read_edges
from models.system import SystemConfig, build_engine
from models.tgn import TGNConfig

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "ctdg-wikipedia" / "ml_wikipedia.txt.gz"
WARMING = 200
"""Batch up to the part that is measured; the measured part has the asked one."""


class Run:
    """An engine fed with a log of edges, and the middle rank of each."""

    def __init__(self, engine: Engine, log: EdgeLog) -> None:
        self.engine, self.log = engine, log

    def ranks(self, start: int, stop: int, batch: int, label: str) -> npt.NDArray[np.float64]:
        """Ranks ``[stop - start]`` of the edges, each step taken after its ranks are known."""
        found = []
        for low in range(start, stop, batch):
            high = min(low + batch, stop)
            known = self.engine.graph.sizes()[1] - 1
            rank = self.engine.step([(row, self._event(row)) for row in range(low, high)]).ranks["evergraph"]
            # Pages that nobody has edited yet share the places behind all others.
            behind = known + (1 + self.log.n_items - known) / 2
            found.append(np.where(np.isfinite(rank), rank, behind))
            if sys.stderr.isatty():
                print(f"\r{label}: {high - start:,} of {stop - start:,}", end="", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        return np.concatenate(found)

    def _event(self, row: int) -> Interaction:
        log = self.log
        user, item = str(log.users[row]), str(log.items[row])
        return Interaction(f"edge-{row}", user, item, EventType.CLICK, int(log.ts[row]))


def measure(log: EdgeLog, args: argparse.Namespace) -> dict[str, Any]:
    """Feed up to the part asked for, rank it, and give its figures."""
    split = time_split(log)
    start, stop = (split.train, split.validation) if args.part == "validation" else (split.validation, split.end)
    system = SystemConfig(
        tgn=TGNConfig(dim=args.dim),
        candidates="all",
        history_half_life=7.0,
        within_batch=args.within_batch,
        without=tuple(args.without),
        seed=args.seed,
    )
    run = Run(build_engine(system), log)
    begun = time.perf_counter()
    run.ranks(0, start, args.batch if args.warm_alike else WARMING, "before")
    between = time.perf_counter()
    ranks = run.ranks(start, stop, args.batch, args.part)
    fresh = first_times(log)[start:stop]
    return {
        "data": "ctdg-wikipedia",
        "part": args.part,
        "batch": args.batch,
        "batch_before": args.batch if args.warm_alike else WARMING,
        "within_batch": args.within_batch,
        "without": args.without,
        "seed": args.seed,
        "events": len(ranks),
        "mrr": round(mrr(ranks), 4),
        "first_time_events": int(fresh.sum()),
        "first_time_mrr": round(mrr(ranks[fresh]), 4),
        "hits@1": round(hit_rate(ranks, 1), 4),
        "hits@10": round(hit_rate(ranks, 10), 4),
        "seconds_before": round(between - begun, 1),
        "seconds": round(time.perf_counter() - between, 1),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Print one row of figures; append it to ``--json`` if given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=200, help="events that are ranked before any of them is seen")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--without", action="append", default=[], help="source to leave out (may be repeated)")
    parser.add_argument(
        "--within-batch",
        action="store_true",
        help="let a ranking know what its user did earlier in the batch, as live (not the protocol)",
    )
    parser.add_argument("--warm-alike", action="store_true", help="use --batch also before the measured part")
    parser.add_argument("--dim", type=int, default=32, help="width of the TGN")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use the first N edges only (a smoke test, not the protocol)")
    parser.add_argument("--json", type=Path, help="file to which the row is added as a line")
    args = parser.parse_args()
    if args.batch < 1:
        parser.error(f"--batch {args.batch} holds no event; use 1 or more")
    torch.set_num_threads(1)
    try:
        log = read_edges(DATA)
    except DataFileError as error:
        parser.error(f"{error}; set EVERGRAPH_DATA to the folder that holds ctdg-wikipedia")
    row = measure(log.part(0, min(args.limit or len(log), len(log))), args)
    print(json.dumps(row, indent=1))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with args.json.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
