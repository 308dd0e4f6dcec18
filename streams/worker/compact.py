"""Compact topics that must be known whole: read to their end before the worker is ready, then followed.

They are read through a consumer without a group, so that every worker sees all of them. Each has one partition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.codec import NULL_KEY, BadMessage
from streams.topics import DEAD_LETTER_MAX_BYTES
from streams.worker.ending import ending
from streams.worker.letters import Letters, Origin
from streams.worker.log_ends import LogEnds

Take = Callable[[Sequence[Origin]], Awaitable[None]]


class CompactReader:
    """Hands the records of some topics (full names) to who takes them, some at once, in their order.

    What cannot be used is said with :meth:`refuse`, and becomes a dead letter once following has begun: letters need a
    producer, which starts later.
    """

    def __init__(
        self,
        broker: str,
        client_id: str,
        takers: Mapping[str, Take],
        letters: Letters,
        ends: LogEnds,
        *,
        fetch_wait_ms: int = 200,
    ) -> None:
        self.ready = False
        self._takers = {TopicPartition(topic, 0): take for topic, take in takers.items()}
        self._letters = letters
        self._ends = ends
        self._bad: list[tuple[Origin, BadMessage]] = []
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.split(","),
            client_id=client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES,
            # The embedded broker answers an empty fetch after half of this, so a new title takes 0.1 s to
            # arrive.
            fetch_max_wait_ms=fetch_wait_ms,
        )

    async def load(self) -> None:
        """Read all to the end they have now."""
        await self._consumer.start()
        partitions = list(self._takers)
        self._consumer.assign(partitions)
        ends = {tp: (await self._ends.ends(tp.topic, [tp.partition]))[tp.partition] for tp in partitions}
        while [tp for tp in partitions if await self._consumer.position(tp) < ends[tp]]:
            await self._take(500)
        self.ready = True

    async def follow(self) -> None:
        """Hand over what comes, until cancelled."""
        while True:
            await self._report_bad()
            await self._take(1000)

    async def stop(self) -> None:
        """Close the connection."""
        async with ending(self._consumer):
            await self._consumer.stop()

    def refuse(self, origin: Origin, bad: BadMessage) -> None:
        """A record is good for nothing."""
        self._bad.append((origin, bad))

    async def _take(self, timeout_ms: int) -> None:
        for tp, records in (await self._consumer.getmany(timeout_ms=timeout_ms)).items():
            await self._takers[tp]([Origin(r.topic, r.partition, r.offset, r.key, r.value) for r in records])

    async def _report_bad(self) -> None:
        bad, self._bad = self._bad, []
        sent = [await self._letters.dead(origin, error.code, error.message) for origin, error in bad]
        await self._letters.delivered(sent)


def key_of(origin: Origin) -> str:
    """The id that a record is about. Raises `BadMessage`."""
    if origin.key is None:
        raise BadMessage(NULL_KEY, f"a record of {origin.topic} has no key: set the record key to the id")
    return origin.key.decode(errors="replace")
