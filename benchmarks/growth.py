"""Does an event cost the same after ten million others, and among a million nodes?

Run: ``python benchmarks/growth.py --json out/growth.json`` (some ten minutes and 4 GB on one core). Two phases, a row
for each tenth of either:

- ``nodes``: the graph grows from nothing to N nodes, nine users to an item; every event brings a user never seen.
- ``events``: then M events among these warm nodes, drawn by a Zipf-like law, so that some nodes are met thousands of
  times and most hardly ever.

Each event costs what serving it costs: user and item are embedded at the event's time, then memory, messages and rings
are updated; ids are looked up as strings. ``events_per_s`` is total over total within the row, ``resident_mb`` the
resident memory of the process at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dyngraph.advance import advance
from dyngraph.batch import EventBatch
from dyngraph.events import EventType
from dyngraph.graph import DynamicGraph
from models.tgn import TGN, preset

START_MS = 1_700_000_000_000
USERS_PER_ITEM = 9
ROWS = 10
"""Rows of the table for each phase."""


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000_000, help="nodes at the end of the first phase")
    parser.add_argument("--events", type=int, default=10_000_000, help="events of the second phase")
    parser.add_argument("--batch", type=int, default=1_000, help="events per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = run(args.nodes, args.events, args.batch, args.seed)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    warm = [row["events_per_s"] for row in rows if row["phase"] == "events"]
    change = warm[-1] / warm[0] - 1
    print(f"among {args.nodes:,} warm nodes the last tenth of the events went {change:+.1%} against the first")


def run(nodes: int, events: int, batch: int, seed: int) -> list[dict[str, Any]]:
    """Both phases; one row each tenth."""
    encoder = TGN(preset("tgn", seed=seed))
    graph = encoder.graph()
    users, items = nodes - nodes // (USERS_PER_ITEM + 1), nodes // (USERS_PER_ITEM + 1)
    phases = (
        ("nodes", users, newcomers(users, items, batch)),
        ("events", events, warm(users, items, events, batch, seed)),
    )
    rows: list[dict[str, Any]] = []
    clock = START_MS
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        for phase, total, stream in phases:
            task = progress.add_task(phase, total=total)
            done, since, seconds = 0, 0, 0.0
            for user_numbers, item_numbers in stream:
                names = [f"user-{n}" for n in user_numbers], [f"item-{n}" for n in item_numbers]
                begun = time.perf_counter()
                take(graph, encoder, *names, clock)
                seconds += time.perf_counter() - begun
                clock += 1_000
                since += len(user_numbers)
                progress.advance(task, len(user_numbers))
                if done + since >= total * (sum(row["phase"] == phase for row in rows) + 1) / ROWS:
                    done += since
                    row = {"phase": phase, "nodes": sum(graph.sizes()) - 2, "events": graph.events}
                    row |= {"events_per_s": round(since / seconds), "resident_mb": resident_mb()}
                    rows.append(row | {"batch": batch, "threads": torch.get_num_threads(), "cpu": platform.processor()})
                    progress.console.print(
                        f"{phase:7} {row['nodes']:>10,} nodes {row['events']:>12,} events  "
                        f"{row['events_per_s']:>7,} events/s  {row['resident_mb']:>6,} MB"
                    )
                    since, seconds = 0, 0.0
    return rows


def take(graph: DynamicGraph, encoder: TGN, users: list[str], items: list[str], ts: int) -> None:
    """Look ids up, embed both ends at their events' times, update."""
    n = len(users)
    user_rows, item_rows = graph.user_ids.add(users), graph.item_ids.add(items)
    graph.users.grow(len(graph.user_ids))
    graph.items.grow(len(graph.item_ids))
    encoder.grow(*graph.sizes())
    seq = torch.arange(n) + graph.horizon.seq + 1
    views = torch.full((n,), int(EventType.VIEW))
    batch = EventBatch(user_rows, item_rows, views, torch.zeros(n), torch.full((n,), ts), seq)
    first = seq[:1].expand(n)
    encoder.embed(graph, batch.users, batch.ts, first)
    encoder.embed_items(graph, batch.items, batch.ts, first)
    advance(graph, encoder, batch)


def newcomers(users: int, items: int, batch: int) -> Iterator[tuple[list[int], list[int]]]:
    """Every user once, items in turn."""
    for low in range(0, users, batch):
        numbers = range(low, min(low + batch, users))
        yield list(numbers), [n // USERS_PER_ITEM % items for n in numbers]


def warm(users: int, items: int, events: int, batch: int, seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Users and items by a law in which rank r is met about 1/r as often as the first."""
    rng = np.random.default_rng(seed)
    for low in range(0, events, batch):
        n = min(batch, events - low)
        ranks = np.exp(rng.random((2, n)) * np.log([[users], [items]])).astype(np.int64) - 1
        # Ranks are scattered over the ids, or the busiest nodes would lie side by side in memory.
        yield (ranks[0] * 7_919 % users).tolist(), (ranks[1] * 7_919 % items).tolist()


def resident_mb() -> int:
    """Resident memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


if __name__ == "__main__":
    main()
