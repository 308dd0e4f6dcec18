"""Events per second and memory of this engine and of PyTorch Geometric's TGN, in one run.

Run: ``python benchmarks/engine.py --json out/engine.json`` (under twelve minutes on one thread). Works:

- ``update_embed``, the path that serves: source, destination and one negative of every event are embedded without
  gradients before the event's batch is taken in, then it is taken in.
- ``train``: the same nodes are embedded with gradients, scored, one step of the optimiser follows, then the update.

Each side has its own usual sizes: the peer memory, time encoding and embeddings of width 100, as in its example; ours
those of the ``tgn`` preset, which is what serves (64 and 32), unless ``--width`` says otherwise. Ten neighbours and two
heads on both. ``benchmarks/link_prediction.py`` shows the quality of either at these sizes. Every case has a fresh
process per engine; memories and rings are filled by the stream's first events, then the engines take turns by slices.
``events_per_s`` is all timed events over all timed seconds; batches are made ready outside the clock on both sides.
``events_per_cpu_s`` is the same over seconds that the process had a core: on a shared host it says more.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from engine_process import Case, serve
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ENGINES, WORKS, STREAMS = ("evergraph", "pyg"), ("update_embed", "train"), ("ctdg-wikipedia", "synthetic-172")
WARM_EVENTS = 50_000
SLICES, FEWEST_SLICES = 6, 2
SLICE_EVENTS = {
    "update_embed": {1: 1_000, 200: 15_000, 1000: 16_000},
    "train": {1: 300, 200: 5_000, 1000: 8_000},
}
"""Timed events of one slice, chosen so that the peer needs about a second for each."""


def main() -> None:
    """Parse, run, print, write."""
    args = parsed()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    console = Console(stderr=True)
    cases = list(itertools.product(args.data, args.works, args.batches))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[dict[str, Any]] = []
    begun = time.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(cases) * (2 + SLICES) * len(args.engines))
        for data, work, batch in cases:
            progress.update(task, description=f"{data}, {work}, batch {batch}", completed=len(rows) * (2 + SLICES))
            events = slice_events(work, data, batch, args.scale)
            total = WARM_EVENTS + settling(events, batch) + SLICES * events
            chosen = [
                Case(engine, work, data, batch, args.device, args.threads, args.seed, total, args.path, args.width)
                for engine in args.engines
            ]
            left = len(cases) - len(rows) // len(args.engines)
            now = time.monotonic()
            until = now + max(begun + 60 * args.minutes - now, 0) / left
            measured = measure(chosen, events, until, lambda: progress.advance(task))
            rows += measured
            for line in (*map(figures, measured), *ratios(measured)):
                print(line, flush=True)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": rows})) + b"\n")


def parsed() -> argparse.Namespace:
    """The options, lists split and checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data"))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--data", default=",".join(STREAMS))
    parser.add_argument("--batches", default="1,200,1000")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--minutes", type=float, default=11.0, help="on a busy host slices are left out to keep to it")
    parser.add_argument("--scale", type=int, default=1, help="so many times as many events (10 for a GPU)")
    parser.add_argument("--width", type=int, default=64, help="of our memory and embeddings (the peer's is 100)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of each process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--path",
        type=Path,
        default=folder / "ctdg-wikipedia" / "ml_wikipedia.txt.gz",
        help="the file of ctdg-wikipedia",
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    for name, known in (("engines", ENGINES), ("works", WORKS), ("data", STREAMS)):
        asked = getattr(args, name).split(",")
        if unknown := [one for one in asked if one not in known]:
            parser.error(f"--{name} {unknown[0]}: use some of {', '.join(known)}")
        setattr(args, name, asked)
    try:
        args.batches = [int(one) for one in args.batches.split(",")]
    except ValueError:
        parser.error(f"--batches {args.batches}: must be whole numbers with commas between")
    if min(*args.batches, args.threads, args.scale) < 1:
        parser.error("--batches, --threads and --scale must be 1 or more")
    if "ctdg-wikipedia" in args.data and not args.path.exists():
        parser.error(f"--path {args.path}: no such file; set EVERGRAPH_DATA, or leave out with --data synthetic-172")
    return args


def slice_events(work: str, data: str, batch: int, scale: int) -> int:
    """Events of one timed slice: whole batches, half as many where edges have features, ``scale`` times as many."""
    sizes = SLICE_EVENTS[work]
    events = scale * sizes[max((size for size in sizes if size <= batch), default=1)]
    if data == "synthetic-172":
        events //= 2
    return -(-events // batch) * batch


def settling(events: int, batch: int) -> int:
    """Events of the work itself that are not counted, before slices of ``events``: a quarter of one, whole batches."""
    return max(events // 4 // batch, 1) * batch


def measure(cases: list[Case], events: int, until: float, tick: Callable[[], None]) -> list[dict[str, Any]]:
    """One row per engine of the same work, taking turns by slices of ``events``; who begins changes with every slice.

    After ``until`` (monotonic seconds) no further slice begins, but each engine has two: a busy host gets fewer.
    """
    with _processes(cases) as pipes:
        ready = [_answer(pipe) for pipe in pipes]
        for pipe in pipes:
            _ask(pipe, "warm", 0, WARM_EVENTS, 1000)
            tick()
        settled = WARM_EVENTS + settling(events, cases[0].batch)
        for pipe in pipes:
            _ask(pipe, "settle", WARM_EVENTS, settled, cases[0].batch)
            tick()
        seconds: list[list[tuple[float, float]]] = [[] for _ in cases]
        for number in range(SLICES):
            if number >= FEWEST_SLICES and time.monotonic() > until:
                break
            start = settled + number * events
            turns = list(range(len(cases)))
            for place in turns if number % 2 == 0 else reversed(turns):
                seconds[place].append(_ask(pipes[place], "time", start, start + events, cases[place].batch))
                tick()
        peaks = [_ask(pipe, "memory", 0, 0, 1) for pipe in pipes]
        for pipe in pipes:
            pipe.send(None)
    return [
        {
            "engine": case.engine,
            "work": case.work,
            "data": case.data,
            "batch": case.batch,
            "device": case.device,
            "threads": case.threads,
            "width": case.width if case.engine == "evergraph" else 100,
            "events_per_s": round(len(times) * events / sum(wall for wall, _ in times), 1),
            "events_per_cpu_s": round(len(times) * events / sum(cpu for _, cpu in times), 1),
            "peak_mb": round(peak, 1),
            "start_mb": round(before, 1),
            "events": len(times) * events,
            "warm_events": settled,
            "slices_per_s": [round(events / wall, 1) for wall, _ in times],
            "cpu": platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
            "notes": notes,
        }
        for case, times, peak, (before, notes) in zip(cases, seconds, peaks, ready, strict=True)
    ]


def figures(row: dict[str, Any]) -> str:
    """A row as a line."""
    where = f"{row['data']:<15} {row['work']:<13} batch {row['batch']:>5}  {row['engine']:<10}"
    speed = f"{row['events_per_s']:>9,.0f} events/s {row['events_per_cpu_s']:>9,.0f} per CPU s"
    memory = f"peak {row['peak_mb']:>6,.0f} MB ({row['start_mb']:,.0f} before the engine)"
    return f"{where} {speed}  {memory}  {row['events']:,} timed events"


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    """How the engines stand to each other, if both ran."""
    by_engine = {row["engine"]: row for row in rows}
    if set(by_engine) != set(ENGINES):
        return []
    where = f"{rows[0]['data']:<15} {rows[0]['work']:<13} batch {rows[0]['batch']:>5}"
    ours, theirs = (by_engine[engine] for engine in ENGINES)
    clock, cpu = (ours[key] / theirs[key] for key in ("events_per_s", "events_per_cpu_s"))
    return [f"{where}  evergraph / pyg {clock:.2f} by the clock, {cpu:.2f} by CPU seconds"]


@contextmanager
def _processes(cases: list[Case]) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in cases]
    workers = [
        context.Process(target=serve, args=(theirs, case), daemon=True)
        for (_, theirs), case in zip(ends, cases, strict=True)
    ]
    for worker in workers:
        worker.start()
    try:
        yield [ours for ours, _ in ends]
        for worker in workers:
            worker.join(timeout=30)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.kill()


def _ask(pipe: Connection, *order: Any) -> Any:
    pipe.send(order)
    return _answer(pipe)


def _answer(pipe: Connection) -> Any:
    try:
        kind, value = pipe.recv()
    except EOFError:
        sys.exit("an engine's process died; its last words are above")
    if kind == "failed":
        sys.exit(value)
    return value


if __name__ == "__main__":
    main()
