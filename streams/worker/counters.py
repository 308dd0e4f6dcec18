"""What the worker has done, in plain numbers that any thread may read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable


class Rate:
    """Things per second over the last `window_s` seconds."""

    def __init__(self, window_s: float = 10.0) -> None:
        self.total = 0
        self._window_s = window_s
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, count: int) -> None:
        """Count `count` more."""
        self.total += count
        self._marks.append((time.monotonic(), self.total))
        self._trim()

    def per_second(self) -> float:
        """The present rate."""
        self._trim()
        then, before = self._marks[0]
        return (self.total - before) / max(time.monotonic() - then, 1e-3)

    def _trim(self) -> None:
        horizon = time.monotonic() - self._window_s
        while len(self._marks) > 1 and self._marks[1][0] <= horizon:
            self._marks.popleft()


class Counters:
    """The worker's own figures; those of the state come from the shards."""

    def __init__(self) -> None:
        self.started = time.time()
        self.events = Rate()
        """Records that went through a step."""
        self.lists = Rate()
        """Published lists, answers to requests among them."""
        self.steps = 0
        self.skipped = 0
        """Records delivered again after a rebalance that the state already holds."""
        self.duplicates = 0
        self.late = 0
        self.requests = 0
        self.jobs = 0
        """Jobs sent to LLM workers."""
        self.step_ms: deque[float] = deque(maxlen=2_000)
        """Milliseconds a step took without the wait for its turn, newest last."""
        self.list_ms: deque[float] = deque(maxlen=2_000)
        """Milliseconds from the broker's time of a user's first unlisted event to the list, newest last."""

    def describe(self) -> dict[str, object]:
        """JSON-able figures; rates are per second over the last ten seconds."""
        return {
            "uptime_s": round(time.time() - self.started, 1),
            "events": self.events.total,
            "events_per_s": round(self.events.per_second(), 1),
            "lists": self.lists.total,
            "lists_per_s": round(self.lists.per_second(), 1),
            "steps": self.steps,
            "skipped": self.skipped,
            "duplicates": self.duplicates,
            "late": self.late,
            "requests": self.requests,
            "llm_jobs": self.jobs,
            "step_ms": _percentiles(self.step_ms),
            "event_to_list_ms": _percentiles(self.list_ms),
        }


def _percentiles(values: Iterable[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    if not ordered:
        return {"p50": None, "p99": None}
    last = len(ordered) - 1
    return {name: round(ordered[int(share * last)], 1) for name, share in (("p50", 0.5), ("p99", 0.99))}
