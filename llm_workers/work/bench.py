"""The workbench of an LLM worker: jobs in, artefacts of one kind out, however slow, broken or busy the LLM is.

Per user at most one job waits and one is in flight. A job is finished, and may be acknowledged, when its future has a
result; a future with an exception means that it is not, and should be delivered again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from typing import Generic, TypeVar

from llm_workers.protocols import LlmError
from llm_workers.work.config import WorkConfig
from llm_workers.work.figures import Figures, Tally
from llm_workers.work.jobs import Asked, Entry, Job, Line, Outcome

Made = TypeVar("Made")

_SERVICE = frozenset({"rate_limited", "unavailable", "over_budget"})
"""Codes of errors that every other job would meet as well."""


class Workbench(Generic[Asked, Made]):
    """All methods belong to one event loop.

    ``make`` makes an artefact, or raises LlmError. ``publish`` gets every one with its job, ``dead`` every job that was
    given up with the last error; a job is finished after they return. If one of them raises, the job's future does too.
    """

    def __init__(
        self,
        make: Callable[[Asked], Awaitable[Made]],
        publish: Callable[[Made, Job[Asked]], Awaitable[None]],
        dead: Callable[[Job[Asked], LlmError], Awaitable[None]],
        config: WorkConfig | None = None,
    ) -> None:
        self.config = config or WorkConfig()
        self._make, self._publish, self._dead = make, publish, dead
        self._waiting: dict[str, Entry] = {}
        self._running: dict[str, Entry] = {}
        self._line = Line(self.config.ageing_s)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._rest_until, self._troubles = 0.0, 0
        self._rest: asyncio.TimerHandle | None = None
        self._done: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._erased: dict[str, int] = {}
        self._tally = Tally()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    # -- jobs in ----------------------------------------------------------------------------------------------

    def put(self, job: Job[Asked]) -> asyncio.Future[Outcome]:
        """Take a job; the future tells how it ended. Raises RuntimeError after :meth:`close`."""
        if self._closed:
            raise RuntimeError("the workbench is closed and takes no more jobs; make a new one")
        entry = Entry(job, time.monotonic(), [asyncio.get_running_loop().create_future()])
        self._take(entry)
        self._go_on()
        return entry.futures[0]

    def _take(self, entry: Entry) -> None:
        user, horizon = entry.user, entry.job.horizon
        if horizon[0] <= self._erased.get(user, -1):
            return self._finish(entry, Outcome.ERASED)
        waiting = self._waiting.get(user)
        for held in (waiting, self._running.get(user)):
            if held is None or held.erased or held.job.horizon < horizon:
                continue
            if held.job.horizon > horizon:
                return self._finish(entry, Outcome.COALESCED)
            # Delivered again: finished when the first one is, which may have come by way of a lost connection.
            held.futures += entry.futures
            self._tally.outcomes[Outcome.COALESCED] += 1
            return None
        if horizon <= self._done.get(user, (-1, -1)):
            return self._finish(entry, Outcome.COALESCED)
        if waiting is not None:
            entry.since, entry.not_before = waiting.since, waiting.not_before
            self._leave(user)
            self._finish(waiting, Outcome.COALESCED)
        self._waiting[user] = entry
        self._line_up(entry)
        if len(self._waiting) > self.config.most_waiting:
            worst = self._line.worst() if len(self._line) else entry
            self._leave(worst.user)
            self._finish(worst, Outcome.DROPPED)
        return None

    def _line_up(self, entry: Entry) -> None:
        """Let a waiting entry into the line as soon as it may be tried and its user has nothing in flight."""
        user = entry.user
        if user in self._running:
            return
        wait = entry.not_before - time.monotonic()
        if wait > 0:
            self._timers[user] = asyncio.get_running_loop().call_later(wait, self._wake, entry)
        else:
            self._line.put(entry)

    def _wake(self, entry: Entry) -> None:
        del self._timers[entry.user]
        self._line.put(entry)
        self._go_on()

    def _leave(self, user: str) -> Entry | None:
        """Take a user's entry out of all that waits."""
        self._line.remove(user)
        if (timer := self._timers.pop(user, None)) is not None:
            timer.cancel()
        return self._waiting.pop(user, None)

    # -- the work ---------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin what may begin."""
        rest = self._rest_until - time.monotonic()
        if rest > 0 and len(self._line) and self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(rest, self._rested)
        while rest <= 0 and len(self._line) and len(self._running) < self.config.concurrency and not self._closed:
            entry = self._line.best()
            del self._waiting[entry.user]
            self._running[entry.user] = entry
            entry.task = asyncio.create_task(self._work(entry), name="artefact")
            entry.task.add_done_callback(partial(self._worked, entry))
        if self._waiting or self._running:
            self._idle.clear()
        else:
            self._idle.set()

    def _rested(self) -> None:
        self._rest = None
        self._go_on()

    async def _work(self, entry: Entry) -> Outcome | None:
        """Try a job once; None if it is to be tried again."""
        try:
            made = await self._make(entry.job.request)
        except LlmError as error:
            return await self._failed(entry, error)
        if entry.erased:
            return Outcome.ERASED
        entry.publishing, self._troubles = True, 0
        await self._publish(made, entry.job)
        return Outcome.PUBLISHED

    async def _failed(self, entry: Entry, error: LlmError) -> Outcome | None:
        if entry.erased:
            return Outcome.ERASED
        entry.attempts += 1
        if not error.retry or entry.attempts >= self.config.attempts:
            entry.publishing = True
            await self._dead(entry.job, error)
            return Outcome.DEAD
        if error.after_s is not None or error.code in _SERVICE:
            self._rest_for(error.after_s)
        entry.not_before = max(time.monotonic() + self._backoff(entry.attempts), self._rest_until)
        return None

    def _rest_for(self, asked_s: float | None) -> None:
        """Begin nothing for a while: an LLM that is down or busy is so for every job, and would use up their attempts.

        What is in flight meanwhile and fails as well does not lengthen a rest that nobody asked for.
        """
        now = time.monotonic()
        if asked_s is not None:
            self._rest_until = max(self._rest_until, now + min(asked_s, self.config.longest_rest_s))
        elif now >= self._rest_until:
            self._troubles += 1
            self._rest_until = now + self._backoff(self._troubles)

    def _backoff(self, attempts: int) -> float:
        """Seconds to wait after so many attempts in vain."""
        wait: float = min(self.config.first_wait_s * 2.0 ** min(attempts - 1, 60), self.config.longest_wait_s)
        return wait * random.uniform(0.5, 1.0)

    def _worked(self, entry: Entry, task: asyncio.Task[Outcome | None]) -> None:
        """Book how an attempt ended, and go on."""
        del self._running[entry.user]
        if task.cancelled():
            self._finish(entry, Outcome.ERASED) if entry.erased else entry.give_back(None)
        elif (error := task.exception()) is not None:
            self._tally.unpublished += 1
            entry.give_back(error)
        elif (outcome := task.result()) is not None:
            self._finish(entry, outcome)
        else:
            self._again(entry)
        if (behind := self._waiting.get(entry.user)) is not None and behind is not entry:
            self._line_up(behind)
        self._go_on()

    def _again(self, entry: Entry) -> None:
        """Let a job wait for its next attempt, unless a newer one of the user came meanwhile."""
        newer = self._waiting.get(entry.user)
        if entry.erased:
            self._finish(entry, Outcome.ERASED)
        elif newer is not None:
            newer.since, newer.not_before = entry.since, entry.not_before
            self._finish(entry, Outcome.COALESCED)
        else:
            self._tally.retried += 1
            self._waiting[entry.user] = entry
            self._line_up(entry)

    def _finish(self, entry: Entry, outcome: Outcome) -> None:
        self._tally.outcomes[outcome] += 1
        if outcome is Outcome.PUBLISHED:
            self._tally.published(time.monotonic() - entry.since)
            if not entry.erased:
                self._done[entry.user] = entry.job.horizon
                self._done.move_to_end(entry.user)
                if len(self._done) > self.config.remembered:
                    self._done.popitem(last=False)
        entry.settle(outcome)

    # -- erasing and ending -----------------------------------------------------------------------------------

    async def erase(self, user_id: str, until_ts: int = -1) -> None:
        """Give up all of a user's jobs: once this returns, nothing of them will be published.

        What is being published at the moment is waited for; a tombstone written afterwards comes after it. Jobs that
        come later are taken, unless their horizon is not after ``until_ts`` (ms): the moment of the erasure.
        """
        if until_ts >= 0:
            self._erased[user_id] = max(until_ts, self._erased.get(user_id, -1))
        self._done.pop(user_id, None)
        if (waiting := self._leave(user_id)) is not None:
            self._finish(waiting, Outcome.ERASED)
        running = self._running.get(user_id)
        if running is not None and running.task is not None:
            running.erased = True
            if running.publishing:
                await asyncio.wait({running.task})
            else:
                # A producer that does not mind being cancelled works for nothing: its result is thrown away.
                running.task.cancel()
        self._go_on()

    async def idle(self) -> None:
        """Wait until nothing waits and nothing is in flight."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop at once; the futures of unfinished jobs are cancelled, so that they are delivered again."""
        self._closed = True
        for timer in (*self._timers.values(), *([self._rest] if self._rest else [])):
            timer.cancel()
        tasks = {entry.task for entry in self._running.values() if entry.task is not None}
        for task in tasks:
            task.cancel()
        for entry in self._waiting.values():
            entry.give_back(None)
        self._waiting.clear()
        if tasks:
            await asyncio.wait(tasks)
        self._idle.set()

    def figures(self) -> Figures:
        """How things stand."""
        now = time.monotonic()
        since = min((entry.since for entry in chain(self._waiting.values(), self._running.values())), default=now)
        return self._tally.figures(len(self._waiting), len(self._running), now - since)
