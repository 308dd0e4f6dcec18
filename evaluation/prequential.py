"""Test-then-train over a log in time order: every event is ranked before the state has seen it.

The log is cut into engine steps that leave baskets whole: the lines of one basket, which share a user and a moment, are
ranked together before any is learned. Whatever the user did before is known to the ranking, also within the step (see
:mod:`dyngraph.earlier`); only other users' last few events, fewer than a step, can be missing from it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from dyngraph.engine import StepResult
from dyngraph.events import Interaction
from evaluation.intervals import Interval, paired_difference, user_interval
from evaluation.metrics import figures, gains
from evaluation.readers.log import InteractionLog
from evaluation.rolling import RollingMetrics

Events = Sequence[tuple[int, Interaction]]


def cuts(log: InteractionLog, most: int) -> Iterator[tuple[int, int]]:
    """Borders ``[start, stop)`` of steps of at most ``most`` events, more only where one basket (a user's consecutive
    events at one moment) is larger: a basket is ranked as a whole.

    Raises ValueError for ``most`` below 1.
    """
    if most < 1:
        raise ValueError(f"batch = {most} holds no event; use 1 or more")
    same = (log.frame["user_id"] == log.frame["user_id"].shift(1)) & (log.frame["ts"] == log.frame["ts"].shift(1))
    begins = np.append(np.flatnonzero(~same.fill_null(False).to_numpy()), len(log))
    start = 0
    while start < len(log):
        # The last basket border that still fits, or the first one after a basket that does not.
        place = int(np.searchsorted(begins, start + most, side="right")) - 1
        stop = int(begins[place]) if begins[place] > start else int(begins[place + 1])
        yield start, stop
        start = stop


class ModelFigures(msgspec.Struct, rename={"hr": "hr@10", "ndcg": "ndcg@10"}):
    """One model's line of the report; intervals are 95 % over users."""

    hr: float
    ndcg: float
    mrr: float
    ndcg_low: float
    ndcg_high: float
    first_time_ndcg: float
    """NDCG@10 over events whose user had not met the item before."""


class ReplayReport(msgspec.Struct):
    """What a replay found. ``events`` are all replayed, ``evaluated`` those counted after the warm-up."""

    data: str
    events: int
    evaluated: int
    protocol: dict[str, str | int | float | bool]
    models: dict[str, ModelFigures]
    against: dict[str, dict[str, float]]
    """Paired difference in NDCG@10 of ``evergraph`` to each other model: mean, low, high."""
    seconds: float
    events_per_s: float
    digest: str = ""
    dropped: dict[str, int] = {}


@dataclass
class Prequential:
    """Feeds a log to ``step`` and keeps every rank."""

    log: InteractionLog
    step: Callable[[Events], StepResult]
    warmup: float = 0.5
    window: int = 5_000
    seconds: float = 0.0
    _results: list[StepResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warm-up {self.warmup} is no share; use 0 up to, not including, 1")
        self.rolling = RollingMetrics(self.window)

    def run(self, borders: Iterator[tuple[int, int]]) -> Iterator[int]:
        """Replay step by step, yielding the number of events done so far."""
        events = enumerate(self.log.interactions())
        for start, stop in borders:
            begun = time.perf_counter()
            result = self.step(list(itertools.islice(events, stop - start)))
            self.seconds += time.perf_counter() - begun
            self._results.append(result)
            self.rolling.update(result.ranks)
            yield stop

    def ranks(self) -> dict[str, NDArray[np.float64]]:
        """Every model's rank per ranked event, in replay order."""
        ranked = [result.ranks for result in self._results if result.ranks]
        return {name: np.concatenate([ranks[name] for ranks in ranked]) for name in ranked[0]} if ranked else {}

    def report(self, protocol: dict[str, str | int | float | bool], digest: str = "") -> ReplayReport:
        """Figures over the events after the warm-up."""
        ranks = self.ranks()
        total = len(next(iter(ranks.values()))) if ranks else 0
        rows = slice(int(self.warmup * total), None)
        users = np.array([user for result in self._results for user in result.event_users], dtype=object)[rows]
        repeats = np.concatenate([result.repeats for result in self._results])[rows] if total else np.zeros(0, bool)
        ranks = {name: rank[rows] for name, rank in ranks.items()}
        ours = ranks.get("evergraph")
        return ReplayReport(
            data=self.log.name,
            events=len(self.log),
            evaluated=int(np.count_nonzero(~np.isnan(ours))) if ours is not None else 0,
            protocol=protocol,
            models={name: _figures(rank, users, repeats) for name, rank in ranks.items()},
            against={
                name: _difference(paired_difference(gains(ours), gains(rank), users))
                for name, rank in ranks.items()
                if ours is not None and name != "evergraph"
            },
            seconds=self.seconds,
            events_per_s=len(self.log) / max(self.seconds, 1e-9),
            digest=digest,
            dropped=self.log.dropped,
        )


def _figures(ranks: NDArray[np.float64], users: NDArray[np.object_], repeats: NDArray[np.bool_]) -> ModelFigures:
    values = figures(ranks)
    interval = user_interval(gains(ranks), users)
    return ModelFigures(
        hr=values["hr@10"],
        ndcg=values["ndcg@10"],
        mrr=values["mrr"],
        ndcg_low=interval.low,
        ndcg_high=interval.high,
        first_time_ndcg=figures(ranks[~repeats])["ndcg@10"],
    )


def _difference(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
