"""Records that leave the normal way: dead letters with their original bytes, and events moved to their own
partition."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable
from typing import NamedTuple

import faust
from faust.types import EventT

from streams.codec import dead_letter_id, encode
from streams.messages import DeadLetter
from streams.settings import Settings

log = logging.getLogger(__name__)

FORWARDED = "evergraph-forwarded"
"""Header of an event that was moved once; a second move would mean that two clients disagree for ever."""

_MAX_TEXT = 4_000


class Origin(NamedTuple):
    """Where a record stands and what it held."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None

    @classmethod
    def of(cls, event: EventT) -> Origin:
        """The origin of a Faust event of a raw topic."""
        message = event.message
        return cls(message.topic, message.partition, message.offset, message.key, message.value)


class Letters:
    """Publishes dead letters and moves events. Repeats are harmless: ids follow from the source offset."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self.by_code: Counter[str] = Counter()
        self.forwarded = 0
        self._app = app
        self._topic = settings.topic("dead-letters")
        self._told_partitioner = False

    async def dead(self, origin: Origin, code: str, text: str) -> Awaitable[object]:
        """Send one record to `dead-letters`; await the result to know that the broker has it."""
        letter = DeadLetter(
            id=dead_letter_id(origin.topic, origin.partition, origin.offset),
            source_topic=origin.topic,
            source_partition=origin.partition,
            source_offset=origin.offset,
            code=code,
            message=text[:_MAX_TEXT],
            ts_ms=int(time.time() * 1000),
            key=origin.key,
            value=origin.value,
        )
        self.by_code[code] += 1
        log.warning("dead letter %s: %s: %s", letter.id, code, text[:300])
        sent: Awaitable[object] = await self._app.producer.send(
            self._topic, origin.key, encode(letter), None, None, None
        )
        return sent

    async def forward(self, event: EventT, user_id: str, partition: int) -> Awaitable[object]:
        """Send a record to the partition its user lives on, under the right key, marked as moved."""
        origin = Origin.of(event)
        self.forwarded += 1
        if not self._told_partitioner:
            self._told_partitioner = True
            log.warning(
                "record %s/%d/%d lies on another partition, or under another key, than its user: it is moved, and such "
                "records cost twice. Set the record key to user_id and the producer's `partitioner` to murmur2 "
                "(librdkafka: partitioner=murmur2_random)",
                origin.topic,
                origin.partition,
                origin.offset,
            )
        headers = {**event.headers, FORWARDED: b"1"}
        key = user_id.encode()
        sent: Awaitable[object] = await self._app.producer.send(
            origin.topic, key, origin.value, partition, None, headers
        )
        return sent

    @staticmethod
    def was_moved(event: EventT) -> bool:
        """Whether the record was moved once already."""
        return FORWARDED in event.headers

    @staticmethod
    async def delivered(sent: list[Awaitable[object]]) -> None:
        """Wait until the broker has acknowledged all. Raises the client's error where one was lost."""
        if sent:
            await asyncio.gather(*sent)
