"""What latent relations cost a step: CPU time of learning and upkeep, and of scoring, beside the rest of the engine.

    python benchmarks/relation_cost.py --data ../shared/data/ml-100k/ml-100k.inter.gz --steps 8,64

Two engines take the same steps in turn in one process, one with the source ``relations`` and one without, the first
half of the events not counted. CPU time, so that other processes disturb less. One thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from arguments import several, whole
from rich.console import Console
from rich.table import Table

from dyngraph.engine import Engine
from dyngraph.events import Interaction
from evaluation.coded import CodedLog, coded
from evaluation.contending_engine import stream_relations
from evaluation.profiles.stock import TextStock
from evaluation.readers import read_log
from evaluation.readers.log import InteractionLog
from models.lrd.online import RelationsUpdate
from models.sources.relations import RelationSource
from models.system import SystemConfig, build_engine

UPDATE = ((RelationSource, "lesson"), (RelationSource, "observe"), (RelationsUpdate, "apply"))
LISTS = ((RelationSource, "propose"), (RelationSource, "describe"))


def main() -> None:
    """Parse, walk, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a log that `evergraph evaluate` reads")
    parser.add_argument("--events", type=whole(2), default=16_000)
    parser.add_argument("--steps", type=several(whole(1), ","), default="8,64", help="events per step: 8,64")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if max(args.steps) > args.events // 2:
        parser.error(f"--steps {max(args.steps)}: the first half of --events {args.events} must hold a whole step")
    try:
        log = read_log(args.data)
        order = coded(log)
    except ValueError as fault:
        parser.error(str(fault))
    if len(order) < args.events:
        parser.error(f"--events {args.events}: {log.name} has {len(order)}; name no more, or another log")
    table = Table(title=f"{log.name}, events {args.events // 2:,} to {args.events:,}: CPU ms per event")
    for column in ("events per step", "engine without", "update", "share", "proposing and scoring", "share"):
        table.add_column(column, justify="right")
    for size in args.steps:
        cost = measured(order, log, args.events, size)
        shares = (f"{part / cost.engine:.0%}" for part in (cost.update, cost.lists))
        update, lists = ((f"{part:.3f}", share) for part, share in zip(cost[1:], shares, strict=True))
        table.add_row(str(size), f"{cost.engine:.3f}", *update, *lists)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


class Cost(NamedTuple):
    """CPU ms per event."""

    engine: float
    """Of the engine without relations."""
    update: float
    """Of learning and upkeep."""
    lists: float
    """Of proposing and scoring."""


def measured(order: CodedLog, log: InteractionLog, events: int, size: int) -> Cost:
    """Of the second half of the events."""
    text = TextStock("minilm")
    spent: defaultdict[str, float] = defaultdict(float)
    plain, related = (engine_of(order, log, text, relations) for relations in (False, True))
    streams = [stream_of(order, log), stream_of(order, log)]
    taken = 0.0
    uncounted = events // 2 // size * size
    with Watch(spent):
        for done in range(0, events, size):
            if done == uncounted:
                spent.clear()
                taken = 0.0
            for engine, stream in zip((plain, related), streams, strict=True):
                step = list(islice(stream, min(size, events - done)))
                begun = time.process_time()
                engine.step(step)
                taken += time.process_time() - begun if engine is plain else 0.0
    counted = events - uncounted
    return Cost(*(1e3 * seconds / counted for seconds in (taken, spent["update"], spent["lists"])))


def engine_of(order: CodedLog, log: InteractionLog, text: TextStock, relations: bool) -> Engine:
    """With the log's catalogue and its texts."""
    engine = build_engine(SystemConfig(mask_seen=True, relations=stream_relations(text.width) if relations else None))
    engine.graph.catalogue.put(log.items)
    if engine.graph.texts.width:
        engine.graph.texts.put(text.of_items(log.items))
    return engine


def stream_of(order: CodedLog, log: InteractionLog) -> Iterator[tuple[int, Interaction]]:
    """The log's events in order."""
    return enumerate(InteractionLog(log.name, log.frame[order.order], log.items).interactions())


class Watch:
    """While entered, adds up the CPU time of the source's methods."""

    def __init__(self, spent: defaultdict[str, float]) -> None:
        self._spent = spent
        self._plain: list[tuple[type, str, Callable[..., Any]]] = []

    def __enter__(self) -> Watch:
        for part, methods in (("update", UPDATE), ("lists", LISTS)):
            for kind, name in methods:
                self._plain.append((kind, name, getattr(kind, name)))
                setattr(kind, name, self._timed(part, getattr(kind, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for kind, name, method in self._plain:
            setattr(kind, name, method)

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self._spent[part] += time.process_time() - begun

        return timed


if __name__ == "__main__":
    main()
