"""Curves along the log: how a contender did lately, and how much of the catalogue it has shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.experiments.results import Curve
from evaluation.metrics import gains
from evaluation.protocols.outcome import Outcome

POINTS = 160
"""Most points of a curve."""


def curve(outcome: Outcome, log: CodedLog, k: int, window: int) -> Curve:
    """At most :data:`POINTS` points, evenly over the evaluated events; the last one is the last event.

    The first point stands where the window is full, or a quarter through where there are too few events for that.
    """
    events = len(outcome)
    if not events:
        return Curve([], [], [], [])
    first = min(window, max(1, events // 4))
    ends = np.unique(np.linspace(first, events, min(POINTS, events - first + 1)).round().astype(np.int64))
    shown = shown_so_far(outcome.top)
    # Held-out events are ranked after all others were learned.
    held_out = str(outcome.protocol["protocol"]).startswith("leave-one-out")
    seen = np.full(events, log.n_items) if held_out else log.items_before[outcome.row]
    return Curve(
        ends.tolist(),
        outcome.ts[ends - 1].tolist(),
        rolling_mean(gains(outcome.rank, k), window)[ends - 1].tolist(),
        (shown / np.maximum(1, seen))[ends - 1].tolist(),
    )


def rolling_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean ``[E]`` of each value and the up to ``window - 1`` before it.

    >>> rolling_mean(np.array([1.0, 0.0, 2.0, 4.0]), 2).tolist()
    [1.0, 0.5, 1.0, 3.0]
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def shown_so_far(top: NDArray[np.int32]) -> NDArray[np.int64]:
    """Distinct items ``[E]`` in the lists up to each event; ``top`` ``[E, k]`` holds 0 for none.

    >>> shown_so_far(np.array([[3, 4], [4, 0], [4, 5]])).tolist()
    [2, 2, 3]
    """
    items, first = np.unique(top, return_index=True)
    new = np.bincount(first[items > 0] // top.shape[1], minlength=len(top))
    return np.cumsum(new)
