"""What is evaluated and how: the printed settings of a protocol, apart from any contender."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from models.baselines.recommender import Setting

ProtocolName = Literal["prequential", "time-split", "leave-one-out", "leave-one-out-sampled"]
Only = Literal["all", "first-time"]


@dataclass(frozen=True)
class Plan:
    """One protocol with its settings. Raises ValueError for a setting that means nothing."""

    protocol: ProtocolName = "prequential"
    k: int = 10
    """Length of a list."""
    seed: int = 0
    """Of every draw that the protocol makes: sampled events, sampled negatives, shuffled ties."""
    mask_seen: bool = False
    """Whether the items that a user has met are no candidates. A repeated item is then always missed."""
    cold_item_events: int = 5
    """An item with fewer events before is a cold one."""
    only: Only = "all"
    """Whether to leave out events whose user had met the item before (prequential and time-split)."""
    sample: int | None = None
    """Evaluate this many of the events, drawn by ``seed`` (prequential and time-split); all where there are fewer."""
    leave_out_group: bool = False
    """Whether the true items of the event's own (user, ts) group, besides its own, are no candidates."""
    warmup: float = 0.5
    """Share of the events before the first evaluated one (prequential)."""
    freeze: bool = False
    """Whether nothing is learned beyond the train share (time-split)."""
    shuffle_ties: bool = False
    """Whether a user's events of one moment are shuffled before the last is held out (leave-one-out)."""
    negatives: int = 99
    """Items drawn beside the true one (leave-one-out-sampled)."""

    def __post_init__(self) -> None:
        if self.protocol not in get_args(ProtocolName):
            raise ValueError(f"protocol {self.protocol!r} is unknown; use one of: {', '.join(get_args(ProtocolName))}")
        if self.only not in get_args(Only):
            raise ValueError(f"only = {self.only!r} is unknown; use one of: {', '.join(get_args(Only))}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup = {self.warmup} is no share; use 0 up to, not including, 1")
        for name in ("k", "negatives", "sample"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} = {value}: use 1 or more")
        if self.cold_item_events < 0 or self.seed < 0:
            raise ValueError("cold_item_events and seed must be 0 or more")

    def settings(self) -> dict[str, Setting]:
        """What a report prints: every setting that the protocol reads, a sample of none left out."""
        foreign = {
            "prequential": {"freeze", "shuffle_ties", "negatives"},
            "time-split": {"warmup", "shuffle_ties", "negatives"},
            "leave-one-out": {"warmup", "freeze", "only", "sample", "leave_out_group", "negatives"},
            "leave-one-out-sampled": {"warmup", "freeze", "only", "sample", "leave_out_group", "mask_seen"},
        }[self.protocol]
        return {name: value for name, value in asdict(self).items() if name not in foreign and value is not None}


def evaluated_rows(log: CodedLog, plan: Plan) -> NDArray[np.bool_]:
    """``[N]`` which events count (prequential and time-split): targets of the evaluated share, as the plan says.

    Raises ValueError where none is left.
    """
    evaluated = log.target.copy()
    evaluated[: first_evaluated(log, plan)] = False
    if plan.only == "first-time":
        evaluated &= ~log.repeat
    rows = np.flatnonzero(evaluated)
    if not len(rows):
        raise ValueError(f"{log.name}: no event is left to evaluate; lower warmup, or name other targets")
    if plan.sample is not None and plan.sample < len(rows):
        kept = np.random.default_rng(plan.seed).choice(rows, plan.sample, replace=False)
        evaluated[:] = False
        evaluated[kept] = True
    return evaluated


def first_evaluated(log: CodedLog, plan: Plan) -> int:
    """The row at which evaluation begins: the warm-up share, or 85 % of the events in a time split.

    The first ``floor(share * N)`` rows are before it.
    """
    return int(len(log) * (plan.warmup if plan.protocol == "prequential" else TEST_FROM))


TRAIN_UNTIL, TEST_FROM = 0.7, 0.85
"""The usual split in time: 70 % train, 15 % validation, 15 % test."""
