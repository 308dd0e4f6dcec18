"""A small coded log and outcomes on it, made by hand, for tests of figures."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dyngraph.events import EventType
from evaluation.coded import CodedLog, coded
from evaluation.protocols import Outcome, OutcomeBuilder, Plan
from evaluation.readers.log import InteractionLog

HOUR_MS = 3_600_000


def small_log(name: str = "small") -> InteractionLog:
    """Twelve views by three users on four items, one an hour."""
    users = ["ann", "bob", "ann", "eve"] * 3
    items = ["a", "b", "a", "c", "b", "b", "d", "a", "a", "c", "b", "c"]
    frame = pl.DataFrame(
        {
            "user_id": users,
            "item_id": items,
            "event_type": [int(EventType.VIEW)] * 12,
            "ts": [1_300_000_000_000 + HOUR_MS * at for at in range(12)],
            "value": [None] * 12,
        },
        schema_overrides={"event_type": pl.Int8, "value": pl.Float64},
    )
    return InteractionLog(name, frame, dropped={"without an item": 2}, notes=["a note"])


def outcome(log: CodedLog, plan: Plan, model: str, ranks: Sequence[float]) -> Outcome:
    """Ranks of the log's last events; list n holds the items n and 1."""
    builder = OutcomeBuilder(log, plan, model, {"taste": 1})
    for row, rank in enumerate(ranks, start=len(log) - len(ranks)):
        builder.add(row, rank, [row % log.n_items + 1, 1])
    return builder.outcome(2.0)


def coded_small() -> CodedLog:
    """The small log as arrays."""
    return coded(small_log())
