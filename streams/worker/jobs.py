"""Jobs for LLM workers, out of what a shard wants after its steps.

A step only leaves its wishes here; sending is a task of its own, so that no list waits for it. Before the shard has
caught up nothing is sent, and of one user's wishes of a kind only the newest is: the ones before it are covered by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import faust

from dyngraph.refreshing import Wanted
from streams.artefact_messages import MAX_NAME, MAX_PAST, MAX_RELATED, LlmJob, PastEntry, RelatedEntry
from streams.artefacts import earlier_reasoning
from streams.codec import encode, job_id
from streams.messages import Horizon
from streams.settings import Settings
from streams.worker.counters import Counters
from streams.worker.shards import HostedShard

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
"""Jobs that wait to be sent; beyond it the oldest are dropped: the policy asks again when patience ends."""


class Wish(NamedTuple):
    """What is wanted, and the newest tombstone that was honoured when it was."""

    wanted: Wanted
    erasures: int


class Jobs(Protocol):
    """What a lane asks of whoever passes its shard's wishes on."""

    def ask(self, wanted: Sequence[Wanted]) -> None:
        """Take in what a step wants."""
        ...


class NoJobs:
    """Nobody makes artefacts for this worker."""

    def ask(self, wanted: Sequence[Wanted]) -> None:
        """Nothing follows."""


class JobMaker:
    """Publishes the jobs of one hosted partition."""

    def __init__(self, hosted: HostedShard, app: faust.App, settings: Settings, counters: Counters) -> None:
        self._hosted = hosted
        self._app = app
        self._topic = settings.topic("llm-jobs")
        self._counters = counters
        self._waiting: dict[tuple[str, str], Wish] = {}
        self._asked = asyncio.Event()

    def ask(self, wanted: Sequence[Wanted]) -> None:
        """Take in what a step wants."""
        for one in wanted:
            self._waiting.pop((one.kind, one.user_id), None)
            self._waiting[one.kind, one.user_id] = Wish(one, self._hosted.erasures.newest)
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        if self._waiting:
            self._asked.set()

    async def run(self, caught_up: asyncio.Event) -> None:
        """Send jobs until cancelled, from when the shard has `caught_up`."""
        await caught_up.wait()
        while True:
            await self._asked.wait()
            self._asked.clear()
            wishes, self._waiting = self._waiting, {}
            for wish in wishes.values():
                key, value = wish.wanted.user_id.encode(), encode(job_message(wish, self._hosted.partition))
                sent = await self._app.producer.send(self._topic, key, value, None, None, None)
                sent.add_done_callback(_tell_if_lost)
            self._counters.jobs += len(wishes)


def job_message(wish: Wish, partition: int) -> LlmJob:
    """The published form."""
    wanted = wish.wanted
    past = wanted.past[-MAX_PAST:]
    return LlmJob(
        job_id=job_id(wanted.kind, wanted.user_id, partition, wanted.offset),
        kind=wanted.kind,
        entity_id=wanted.user_id,
        entity="user",
        horizon=Horizon(ts_ms=max(wanted.ts, 0), offset=wanted.offset, partition=partition),
        priority=min(max(wanted.priority, 0.0), 1.0),
        reason=wanted.reason,
        events=wanted.events,
        past=tuple(PastEntry(item_id=item, ts_ms=max(ts, 0), weight=weight) for item, ts, weight in past),
        related=tuple(
            RelatedEntry(
                item_id=one.item_id,
                other_id=one.other_id,
                relation=one.relation[:MAX_NAME],
                strength=min(max(one.strength, 0.0), 1.0),
            )
            for one in wanted.related[:MAX_RELATED]
        ),
        previous=earlier_reasoning(wanted.previous, partition) if wanted.previous is not None else None,
        erasures=wish.erasures,
    )


def _tell_if_lost(sent: asyncio.Future[object]) -> None:
    # The list that follows does not need it, and the policy asks again: no reason to end the worker.
    if not sent.cancelled() and (error := sent.exception()) is not None:
        log.warning("a job was not taken by the broker: %s", error)
