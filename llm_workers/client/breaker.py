"""A circuit breaker: an endpoint that keeps failing is left alone for a while, then tried with one request.

Our own, because three things are wanted that the usual packages lack: one single trial request however many wait,
a word on when to come back, and a breaker that stays open (a wrong key does not get better by asking again).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from llm_workers.protocols import LlmError

log = logging.getLogger(__name__)

LONGEST_OPEN = 16
"""Times ``open_s``: how far doubling goes."""

BreakerState = Literal["closed", "open", "half-open", "broken"]


class BreakerOpen(LlmError):
    """The endpoint was not even asked."""


class Breaker:
    """Opens for ``open_s`` after ``failures`` in a row, for twice as long after each failed trial.

    A failure is an :class:`LlmError` with a code of ``counting``; others say nothing about the endpoint's health.
    """

    def __init__(
        self,
        failures: int = 5,
        open_s: float = 30.0,
        *,
        counting: frozenset[str] = frozenset({"timeout", "unavailable", "not_found"}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures, self._open_s, self._counting, self._clock = failures, open_s, counting, clock
        self._in_a_row = 0
        self._times_open = 0
        self._open_until = 0.0
        self._on_trial = False
        self._broken: LlmError | None = None

    @property
    def state(self) -> BreakerState:
        """``broken`` is open until the process is started again."""
        if self._broken is not None:
            return "broken"
        if not self._times_open:
            return "closed"
        return "open" if self._clock() < self._open_until else "half-open"

    def check(self) -> None:
        """Raises :class:`BreakerOpen` if a request would be refused now."""
        if self._broken is not None:
            raise BreakerOpen(self._broken.code, str(self._broken), retry=False)
        wait = self._open_until - self._clock()
        if self._times_open and (wait > 0 or self._on_trial):
            after_s = max(wait, 1.0)
            raise BreakerOpen(
                "unavailable",
                f"the endpoint failed {self._in_a_row} times in a row; it is left alone for {after_s:.0f} s",
                retry=True,
                after_s=after_s,
            )

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around one request; learns from how it ends. Raises :class:`BreakerOpen`."""
        self.check()
        trial = self.state == "half-open"
        self._on_trial |= trial
        try:
            yield
        except LlmError as error:
            if error.code in self._counting:
                self._failed(trial, error)
            raise
        else:
            if self._times_open:
                log.warning("the endpoint answers again")
            self._in_a_row = self._times_open = 0
        finally:
            if trial:
                self._on_trial = False

    def break_for_good(self, error: LlmError) -> None:
        """Refuse everything from now on with this error's code and words."""
        self._broken = error

    def _failed(self, trial: bool, error: LlmError) -> None:
        self._in_a_row += 1
        if trial or (not self._times_open and self._in_a_row >= self._failures):
            pause = self._open_s * min(2**self._times_open, LONGEST_OPEN)
            text = "the endpoint failed %d times in a row, at last with %s (%s); it is left alone for %.0f s"
            log.warning(text, self._in_a_row, error.code, error, pause)
            self._open_until = self._clock() + pause
            self._times_open += 1
