"""Small logs written as text: one event per word, in the order of the file."""

from __future__ import annotations

import numpy as np
import polars as pl

from dyngraph.events import EventType
from evaluation.coded import CodedLog, coded
from evaluation.readers.log import SCHEMA, InteractionLog

DAY = 86_400_000


def log_of(text: str, event_types: dict[str, EventType] | None = None) -> InteractionLog:
    """``"ann:a@1 bob:b@1"``: user, item, day. An item's type is ``event_types[item]``, else a purchase."""
    rows = []
    for word in text.split():
        user, rest = word.split(":")
        item, day = rest.split("@")
        event_type = (event_types or {}).get(item, EventType.PURCHASE)
        rows.append((user, item, int(event_type), round(float(day) * DAY), None))
    return InteractionLog("small", pl.DataFrame(rows, schema=SCHEMA, orient="row"))


def small(text: str) -> CodedLog:
    """:func:`log_of`, coded."""
    return coded(log_of(text))


def drawn(events: int, *, users: int = 9, items: int = 14, seed: int = 0) -> CodedLog:
    """A random log with baskets, repeats, users and items that appear late, and quiet days."""
    rng = np.random.default_rng(seed)
    day = np.cumsum(rng.random(events) < 0.4)
    who = [f"u{1 + rng.integers(1 + users * place // events)}" for place in range(events)]
    what = [f"i{1 + rng.integers(2 + items * place // events)}" for place in range(events)]
    return small(" ".join(f"{user}:{item}@{when}" for user, item, when in zip(who, what, day, strict=True)))
