"""A small shop with brands and shelves, where users go from an item to another of its brand."""

from __future__ import annotations

import numpy as np
import polars as pl

from dyngraph.events import EventType, Item
from evaluation.coded import CodedLog, coded
from evaluation.readers.log import SCHEMA, InteractionLog

DAY = 86_400_000


def log_of(events: list[tuple[str, str, float]], items: list[Item] | None = None) -> CodedLog:
    """Events of ``(user, item, day)``."""
    rows = [(user, item, int(EventType.PURCHASE), int(day * DAY), None) for user, item, day in events]
    return coded(InteractionLog("shop", pl.DataFrame(rows, schema=SCHEMA, orient="row"), items or []))


def shop(users: int = 60, items: int = 120, pairs: int = 4, seed: int = 0) -> CodedLog:
    """Ten brands of six pairs of items; a user keeps to two brands and takes a pair a day."""
    rng = np.random.default_rng(seed)
    catalogue = [
        Item(
            f"i{n}",
            title=f"{'abcdefghij'[n % 10] * 5} cream",
            brand=f"brand {n % 10}",
            categories=(f"Care > Shelf {n % 4}",),
        )
        for n in range(items)
    ]
    taken = []
    for user in range(users):
        brands = rng.choice(10, 2, replace=False)
        firsts = rng.permutation([n for n in range(0, items, 20) for n in n + brands])[:pairs]
        for place, first in enumerate(firsts.tolist()):
            taken += [(f"u{user}", f"i{n}", float(user % 7 + 3 * place)) for n in (first, first + 10)]
    return log_of(sorted(taken, key=lambda event: event[2]), catalogue)
