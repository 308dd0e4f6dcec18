"""What an operator sees of the work."""

from __future__ import annotations

from collections import Counter, deque

import msgspec
import numpy as np

from llm_workers.work.jobs import Outcome

KEPT = 1_000
"""Latest profiles whose latency is kept."""


class Figures(msgspec.Struct, frozen=True):
    """Counters since the start, and how things stand."""

    waiting: int
    in_flight: int
    oldest_s: float
    """How long the user has waited who has waited longest, in flight or not; 0 for nobody."""
    published: int
    dead: int
    coalesced: int
    dropped: int
    erased: int
    retried: int
    """Attempts that failed and were not the last."""
    unpublished: int
    """Jobs given back because handing over their result failed."""
    latency_p50_s: float
    """From the first job of a user to the profile, of the latest thousand; NaN before the first."""
    latency_p95_s: float


class Tally:
    """Counts what becomes of jobs."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.retried = self.unpublished = 0
        self._latencies: deque[float] = deque(maxlen=KEPT)

    def published(self, seconds: float) -> None:
        """A profile came out, so long after it was asked for."""
        self._latencies.append(seconds)

    def figures(self, waiting: int, in_flight: int, oldest_s: float) -> Figures:
        """All of it."""
        half, most = np.quantile(self._latencies, (0.5, 0.95)) if self._latencies else (np.nan, np.nan)
        counts = {outcome.value: self.outcomes[outcome] for outcome in Outcome}
        return Figures(
            waiting=waiting,
            in_flight=in_flight,
            oldest_s=oldest_s,
            retried=self.retried,
            unpublished=self.unpublished,
            latency_p50_s=float(half),
            latency_p95_s=float(most),
            **counts,
        )
