"""The worst fault reported of stream workers is the silent stall: alive, in the group, and doing nothing.

The watchdog runs in a thread of its own, so that it also sees an event loop that hangs; it trusts log ends
asked for over another connection than Faust's, since a fetcher that has stalled does not notice new records.
What it sees and where every thread stands goes to the log, then the process ends, because nothing inside it
can be trusted to recover.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from streams.worker.exit_codes import ExitCode

log = logging.getLogger(__name__)


class Pulse(NamedTuple):
    """What the watchdog looks at."""

    beats: int
    """Turns of the event loop's heartbeat; it stops when the loop hangs."""
    progress: int
    """Grows with everything applied or skipped."""
    lag: int
    """Events in the log that could be applied now."""


class Watchdog(threading.Thread):
    """Ends the process when it has stood still for `limit_s` seconds with work waiting."""

    def __init__(self, limit_s: float, look: Callable[[], Pulse], describe: Callable[[], object]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._limit_s = limit_s
        self._look = look
        self._describe = describe
        self._ended = threading.Event()

    def run(self) -> None:
        """Look several times per limit."""
        judge = Judge(self._limit_s, time.monotonic(), self._look())
        while not self._ended.wait(self._limit_s / 20):
            complaint = judge.complaint(time.monotonic(), self._look())
            if complaint:
                self._end(complaint)

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _end(self, complaint: str) -> None:
        log.critical("stalled: %s; state: %s; the stacks of all threads follow", complaint, self._describe())
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        logging.shutdown()
        os._exit(ExitCode.STALLED)


class Judge:
    """When it is a stall. Apart from the thread, so that it can be tested without waiting."""

    def __init__(self, limit_s: float, now: float, pulse: Pulse) -> None:
        self._limit_s = limit_s
        self._pulse = pulse
        self._beat_at = self._moved_at = now

    def complaint(self, now: float, pulse: Pulse) -> str | None:
        """What is wrong at monotonic time `now`, if anything is."""
        before, self._pulse = self._pulse, pulse
        if pulse.beats != before.beats:
            self._beat_at = now
        if pulse.progress != before.progress or pulse.lag <= 0:
            self._moved_at = now
        if now - self._beat_at >= self._limit_s:
            return f"the event loop has not turned for {now - self._beat_at:.0f} s"
        if now - self._moved_at >= self._limit_s:
            return f"{pulse.lag} events are waiting and none was applied for {now - self._moved_at:.0f} s"
        return None
