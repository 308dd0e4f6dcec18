"""The graph agent: a partition's records become steps of its shard.

One lane per hosted partition: Faust's actor puts events in at one end, the lane takes whole steps out at the
other, runs them by turns on the shard, publishes what has to be published, and holds the events until they
may be acknowledged. Nothing may escape a lane: an agent that raises is restarted by Faust with the offset
advanced, so an event would be lost; here a failed step stops the worker instead, with the state as it was and
the log still holding the truth.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping

from faust.types import EventT, StreamT

from evaluation.rolling import RollingMetrics
from streams.codec import BadMessage, decode_interaction
from streams.settings import Settings
from streams.worker.acks import HeldEvents
from streams.worker.catchup import CatchUp
from streams.worker.counters import Counters
from streams.worker.delivery import deliveries
from streams.worker.intake import Intake
from streams.worker.jobs import Jobs
from streams.worker.letters import Letters, Origin
from streams.worker.shards import HostedShard
from streams.worker.silent import Lists
from streams.worker.step import Outcome, step_of

log = logging.getLogger(__name__)

RELIST_LAST = 4_096
"""Of the records that a snapshot already holds, the users of the last so many get a list again after a start:
a list may have been waiting when the worker ended, and its event never comes to a step again."""

COMMIT_LOOK_S = 1.0

Fail = Callable[[BaseException], None]


class DeliveryGapError(RuntimeError):
    """Raised when offsets were skipped that hold records."""


class Lane:
    """The way of one hosted partition's events.

    `is_lost(first, end)` tells whether the log holds records at those offsets (`end` exclusive); `after_step` runs
    after each step, before the next.
    """

    def __init__(
        self,
        hosted: HostedShard,
        partitions: int,
        settings: Settings,
        letters: Letters,
        lists: Lists,
        jobs: Jobs,
        counters: Counters,
        is_lost: Callable[[int, int], Awaitable[bool]],
        after_step: Callable[[HostedShard], Awaitable[None]] | None = None,
    ) -> None:
        self.hosted = hosted
        self.lists = lists
        self._jobs = jobs
        self.metrics = RollingMetrics()
        self.catch_up = CatchUp()
        self.caught_up = asyncio.Event()
        self.intake = Intake(4 * settings.max_batch)
        self.held = HeldEvents()
        self._partitions = partitions
        self._is_lost = is_lost
        self._after_step = after_step
        self._max_batch = settings.max_batch
        self._linger_s = settings.linger_ms / 1000
        self._letters = letters
        self._counters = counters
        self._stopping = False
        self._opened_at = hosted.shard.applied_offset
        self._commit_offset = 0
        self._commit_offset_at = self._stepped_at = -math.inf

    async def run(self, fail: Fail) -> None:
        """Take steps until cancelled. A step that raises stops the worker: `fail` is told why."""
        try:
            while not self._stopping:
                await self._turn()
        except Exception as error:
            log.exception("partition %d: step after offset %d failed", self._partition, self._applied)
            fail(error)

    async def stop(self) -> None:
        """No further step; returns when the running one is done."""
        self._stopping = True
        self.intake.clear()
        await self.hosted.run(lambda shard: None)

    def suspend(self) -> None:
        """A rebalance begins: what waits will be delivered again, from the committed offset on."""
        self.hosted.generation += 1
        self.intake.clear()
        self.held.forget()
        self._opened_at = -1  # the lists that a start owes have been made, or wait in this process

    def caught_up_now(self) -> None:
        """Once the log end noted at the assignment is reached: ask for the lists that are due."""
        if not self.catch_up.done and self.catch_up.reached(self.hosted.shard):
            due = self.catch_up.finish()
            log.info(
                "partition %d has caught up at offset %d: %d lists due",
                self._partition,
                self._applied,
                len(due),
            )
            self.lists.touch(due)
            self.caught_up.set()

    @property
    def _partition(self) -> int:
        return self.hosted.partition

    @property
    def _applied(self) -> int:
        return self.hosted.shard.applied_offset

    async def _turn(self) -> None:
        self._skip_applied()
        self.held.release(self._commit_offset)
        await self._look_at_commit_offset()
        events = await self._whole_step()
        if not events:
            await self._wait()
            return
        await self._no_record_missing(events)
        generation = self.hosted.generation
        outcome = await self.hosted.run(step_of(self._partitions, events), size=len(events))
        self._stepped_at = time.monotonic()
        await self._publish(outcome)
        self._count(outcome, len(events))
        if self._after_step is not None:
            await self._after_step(self.hosted)
        if generation == self.hosted.generation:
            self.held.hold(events)

    async def _no_record_missing(self, events: list[EventT]) -> None:
        """Hold Faust to its word that it delivers everything. Raises `DeliveryGapError`."""
        before = self._applied
        if events[-1].message.offset - before == len(events):
            return
        for event in events:
            offset = event.message.offset
            if offset > before + 1 and await self._is_lost(before + 1, offset):
                raise DeliveryGapError(
                    f"partition {self._partition}: offsets {before + 1} to {offset - 1} hold records that were not "
                    "delivered; a new start reads them from the committed offset"
                )
            before = max(before, offset)

    async def _wait(self) -> None:
        # Acknowledge on a quiet topic too: soon while some are left over, else when a new snapshot may be
        # there.
        timeout = None
        if self.held.releasable(self._commit_offset):
            timeout = 0.05
        elif self._stepped_at > self._commit_offset_at:
            timeout = COMMIT_LOOK_S
        try:
            await asyncio.wait_for(self.intake.wait(), timeout)
        except TimeoutError:
            return

    async def _look_at_commit_offset(self) -> None:
        # It is read from the snapshots' manifests, so it is asked for in the shard's thread, and not with
        # every step.
        if time.monotonic() - self._commit_offset_at > COMMIT_LOOK_S:
            self._commit_offset = await self.hosted.run(lambda shard: shard.commit_offset)
            self._commit_offset_at = time.monotonic()

    def _skip_applied(self) -> None:
        applied = self._applied
        if self.intake.first is None or self.intake.first > applied:
            return
        events = self.intake.take_through(applied)
        relist = []
        for event in events:
            if self._opened_at - RELIST_LAST < event.message.offset <= self._opened_at:
                try:
                    relist.append(decode_interaction(event.message.value, event.message.key).user_id)
                except BadMessage:
                    continue  # its dead letter was sent when it was first seen
        self._touch(dict.fromkeys(relist))
        self._counters.skipped += len(events)
        self.held.hold(events)

    async def _whole_step(self) -> list[EventT]:
        """The events of the next step, empty while it is not there whole."""
        first = self.intake.first
        if first is None:
            return []
        border = self.hosted.shard.next_border(self._applied + 1)
        if border is not None:
            self.intake.expect(border - first + 1)
            # Offsets may have gaps; a later one shows that nothing more can come before the border.
            last = self.intake.last
            return self.intake.take_through(border) if last is not None and last >= border else []
        if len(self.intake) < self._max_batch and self._linger_s:
            await asyncio.sleep(self._linger_s)
        return self.intake.take(self._max_batch)

    async def _publish(self, outcome: Outcome) -> None:
        sent = [await self._letters.dead(Origin.of(event), code, text) for event, code, text in outcome.refused]
        sent += [await self._letters.forward(event, user_id, partition) for event, user_id, partition in outcome.moved]
        # Before the events count as handled the broker must have these: nobody will see the records again.
        await self._letters.delivered(sent)
        if outcome.result.step is not None:
            self.metrics.update(outcome.result.step.ranks)
        self._touch(outcome.received)
        self._jobs.ask(outcome.result.wanted)
        self.caught_up_now()

    def _touch(self, users: Mapping[str, int | None]) -> None:
        if self.catch_up.done:
            self.lists.touch(users)
        else:
            self.catch_up.touch(users)

    def _count(self, outcome: Outcome, events: int) -> None:
        self._counters.steps += 1
        self._counters.step_ms.append(outcome.ms)
        self._counters.events.add(events)
        self._counters.duplicates += outcome.result.duplicates
        self._counters.late += outcome.result.late


class GraphAgent:
    """Faust's side: one actor per partition, which only passes events on to its lane."""

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}

    async def consume(self, stream: StreamT) -> None:
        """Pass events to their lane; one of a partition that has just gone comes again elsewhere."""
        async for events in deliveries(stream):
            lane = self.lanes.get(events[0].message.partition)
            if lane is not None:
                await lane.intake.put(events)
