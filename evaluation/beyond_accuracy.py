"""What the lists show, right or wrong: how much of the catalogue, how well known, how evenly.

A list counts once for every evaluated event, so that the figures weigh like the accuracy beside them; an empty place
(row 0) counts for nothing. "So far" is before the event's (user, ts) group; in leave-one-out it is the whole log.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.protocols.outcome import Outcome


class BeyondAccuracy(NamedTuple):
    """The three figures of an outcome."""

    coverage: float
    novelty: float
    gini: float


def beyond_accuracy(outcome: Outcome, log: CodedLog) -> BeyondAccuracy:
    """:func:`coverage`, :func:`novelty` and :func:`gini` of an outcome's lists; all NaN if no list shows anything."""
    exposure = exposures(outcome, log)
    return BeyondAccuracy(coverage(exposure), novelty(outcome, log), gini(exposure))


def exposures(outcome: Outcome, log: CodedLog) -> NDArray[np.int64]:
    """How often ``[items seen by the last event]`` each item stood in a list; item row r is entry r - 1."""
    seen = log.n_items if _held_out(outcome) else int(log.items_before[outcome.row].max(initial=0))
    return np.bincount(outcome.top.ravel(), minlength=seen + 1)[1:]


def coverage(exposure: NDArray[np.int64]) -> float:
    """Share of the items seen so far that stood in any list. NaN without items.

    >>> coverage(np.array([5, 0, 1, 0]))
    0.5
    """
    return float(np.mean(exposure > 0)) if len(exposure) else float("nan")


def gini(exposure: NDArray[np.int64]) -> float:
    """Gini coefficient of exposure over the items seen so far, those never shown included: 0 if all are shown equally
    often, towards 1 if few are shown always. ``Σ (2 i - n - 1) x_i / (n Σ x)`` over ascending ``x_1 … x_n``. NaN if
    nothing was shown.

    >>> gini(np.array([3, 3, 3])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    n, shown = len(exposure), int(exposure.sum())
    if not shown:
        return float("nan")
    return float(np.sum((2 * np.arange(1, n + 1) - n - 1) * np.sort(exposure)) / (n * shown))


def novelty(outcome: Outcome, log: CodedLog) -> float:
    """Mean self-information ``-log2(n_i / N)`` in bits of the shown items (Zhou et al. 2010), where ``n_i`` of the
    ``N`` events so far were with item i. NaN if nothing was shown; an item without events so far, which can only be
    shown by a model that knows the catalogue, counts like one with a single event.
    """
    filled = outcome.top > 0
    items = outcome.top[filled].astype(np.int64)
    if not len(items):
        return float("nan")
    if _held_out(outcome):
        counts, events = np.bincount(log.items, minlength=log.n_items + 1)[items], np.array(len(log))
    else:
        events = np.repeat(log.borders[log.group[outcome.row]], filled.sum(axis=1))
        counts = _counts_before(log, items, events)
    return float(np.mean(np.log2(np.maximum(events, 1)) - np.log2(np.maximum(counts, 1))))


def _counts_before(log: CodedLog, items: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many events ``[n]`` with each of ``items`` stand before each of ``rows``."""
    length = len(log) + 1
    places = np.sort(log.items * length + np.arange(len(log)))
    return np.searchsorted(places, items * length + rows) - np.searchsorted(places, items * length)


def _held_out(outcome: Outcome) -> bool:
    return str(outcome.protocol["protocol"]).startswith("leave-one-out")
