"""Continuous-time link prediction: which item comes next, out of all of them, at the moment it came?

Published figures of this task differ more by protocol than by model, so one protocol is fixed here and every scorer
goes through it: the log is split in time, every test event is ranked against *all* items (ties share their middle
rank), a batch is ranked before any of it is seen, and state is carried from train through validation into test. The
batch is part of the figure: within one batch nobody sees what the batch holds, so larger ones know less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evaluation.metrics import PerEvent, Ranks, hit_rate, middle_rank, mrr
from evaluation.readers.edges import EdgeLog, Ints

Scores = npt.NDArray[np.floating[Any]]


class LinkScorer(Protocol):
    """Anything that can say how likely each item is next, and take in what came."""

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Scores:
        """``[n, n_items]`` scores of all items for each query; larger is better. Must change nothing.

        ``users [n]``, ``ts [n]`` (ms) and ``seq [n]`` say who is asked about and when.
        """
        ...

    def update(self, batch: EdgeLog) -> None:
        """Take in edges ``[B]`` that have been ranked; they come in order and each once."""
        ...


@dataclass(frozen=True)
class Split:
    """Borders in time order: train ``[0, train)``, validation ``[train, validation)``, test up to the end."""

    train: int
    validation: int
    end: int


def time_split(log: EdgeLog, *, train: float = 0.70, validation: float = 0.15) -> Split:
    """The usual 70/15/15 cut by number of events. Raises ValueError for shares that leave no test events.

    Sizes are rounded up for train and train with validation together: 110,232 / 23,621 / 23,621 of 157,474.
    """
    if not (0 < train < 1 and 0 < validation < 1 and train + validation < 1):
        raise ValueError(f"shares {train} and {validation} must be positive and leave a rest for the test events")
    n = len(log)
    # Shares such as 0.7 have no exact binary form: rounding first keeps 0.7 * 10 from becoming 8 of 10.
    first, second = (int(np.ceil(round(n * share, 6))) for share in (train, train + validation))
    if not 0 < first < second < n:
        raise ValueError(f"{n} edges cannot be cut into three parts; at least 7 are needed")
    return Split(first, second, n)


@dataclass(frozen=True)
class LinkReport:
    """How well one scorer did; the batch is part of every figure."""

    events: int
    batch: int
    mrr: float
    first_time_events: int
    first_time_mrr: float
    """MRR over events whose (user, item) pair was in no earlier event, not even of the same batch."""
    hits_1: float
    hits_10: float
    average_precision: float
    """Against one random item per event; it hardly tells methods apart and stands here for comparisons."""

    def row(self) -> dict[str, Any]:
        """As plain figures."""
        return asdict(self)


@dataclass(frozen=True)
class Ranking:
    """Per-event results ``[n]`` of a stretch of the log."""

    ranks: PerEvent
    positive: PerEvent
    """Score of the event's item."""
    negative: PerEvent
    """Score of one random item."""


def feed(
    scorer: LinkScorer, log: EdgeLog, start: int, stop: int, batch: int, *, tick: Callable[[int], None] | None = None
) -> None:
    """Hand edges ``[start, stop)`` to ``scorer`` in batches without ranking. Raises ValueError for a batch below 1."""
    for low, high in _borders(start, stop, batch):
        scorer.update(log.part(low, high))
        if tick is not None:
            tick(high - low)


def rank(
    scorer: LinkScorer,
    log: EdgeLog,
    start: int,
    stop: int,
    batch: int,
    *,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> Ranking:
    """Predict, then update, for edges ``[start, stop)`` in batches of ``batch`` counted from ``start``.

    ``tick`` is told the size of every finished batch. Random items come from ``seed`` and the place in the log alone,
    so that all scorers meet the same ones. Raises ValueError for a batch below 1 and for scores of a wrong shape.
    """
    drawn = np.random.default_rng(seed).integers(log.n_items, size=len(log))
    ranks, positive, negative = (np.empty(stop - start) for _ in range(3))
    for low, high in _borders(start, stop, batch):
        part = log.part(low, high)
        scores = scorer.scores(part.users, part.ts, part.seq)
        if scores.shape != (len(part), log.n_items):
            raise ValueError(f"scores are {scores.shape}; {len(part)} queries need ({len(part)}, {log.n_items})")
        here, rows = slice(low - start, high - start), np.arange(len(part))
        ranks[here] = middle_rank(scores, part.items)
        positive[here] = scores[rows, part.items]
        negative[here] = scores[rows, drawn[low:high]]
        scorer.update(part)
        if tick is not None:
            tick(high - low)
    return Ranking(ranks, positive, negative)


def report(ranking: Ranking, log: EdgeLog, start: int, batch: int) -> LinkReport:
    """Figures of a :func:`rank` that began at ``start``."""
    ranks = ranking.ranks
    fresh = first_times(log)[start : start + len(ranks)]
    return LinkReport(
        events=len(ranks),
        batch=batch,
        mrr=mrr(ranks),
        first_time_events=int(fresh.sum()),
        first_time_mrr=mrr(ranks[fresh]),
        hits_1=hit_rate(ranks, 1),
        hits_10=hit_rate(ranks, 10),
        average_precision=average_precision(ranking.positive, ranking.negative),
    )


def first_times(log: EdgeLog) -> npt.NDArray[np.bool_]:
    """``[N]`` whether the edge's (user, item) pair stands in no earlier line of ``log``, which must be whole."""
    _, first = np.unique(log.users * log.n_items + log.items, return_index=True)
    fresh = np.zeros(len(log), dtype=np.bool_)
    fresh[first] = True
    return fresh


def average_precision(positive: Ranks, negative: Ranks) -> float:
    """Area under precision over recall by steps (Manning et al. 2008, ch. 8), equal scores as one step.

    ``positive [n]`` and ``negative [m]`` are scores; ``-inf`` is a score like any other. NaN without positives.

    >>> average_precision(np.array([3.0, 1.0]), np.array([2.0]))
    0.8333333333333333
    """
    if not len(positive):
        return float("nan")
    scores = np.concatenate([positive, negative])
    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    ends = np.append(scores[1:] != scores[:-1], True)
    found = np.cumsum(truth)[ends]
    precision = found / (np.flatnonzero(ends) + 1)
    return float((np.diff(found, prepend=0.0) * precision).sum() / len(positive))


def _borders(start: int, stop: int, batch: int) -> list[tuple[int, int]]:
    if batch < 1:
        raise ValueError(f"batch = {batch} holds no event; use 1 or more")
    return [(low, min(low + batch, stop)) for low in range(start, stop, batch)]
