"""Where a log ends, by a connection of our own and true on every broker.

It serves four questions: what a shard has to catch up with, when a compact topic is read whole, whether
events wait that Faust does not fetch, and whether offsets that it skipped hold anything. The embedded
broker's own answer (ListOffsets) is too low by the size of the last batch, but each fetch carries the true
high watermark, so a record near the end is fetched and thrown away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.worker.ending import ending

_FETCH_WITHIN_S = 1.0


class LogEnds:
    """Asks for log ends; one question at a time."""

    def __init__(self, broker: str) -> None:
        self._turn = asyncio.Lock()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.split(","),
            client_id="evergraph-log-ends",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # One batch is the least that a broker sends, and as much as is needed.
            max_partition_fetch_bytes=1,
            fetch_max_wait_ms=20,
        )

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Close the connection."""
        async with ending(self._consumer):
            await self._consumer.stop()

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Per partition the first kept offset and that of the next record. Raises the client's errors."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        if not wanted:
            return {}
        async with self._turn:
            begin = await self._consumer.beginning_offsets(wanted)
            listed = await self._consumer.end_offsets(wanted)
            ends = await self._high_watermarks({tp: listed[tp] for tp in wanted if listed[tp] > begin[tp]})
        return {tp.partition: (begin[tp], ends.get(tp, listed[tp])) for tp in wanted}

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Per partition the offset that the next record will get."""
        return {partition: end for partition, (_, end) in (await self.bounds(topic, partitions)).items()}

    async def holds_record(self, topic: str, partition: int, first: int, end: int) -> bool:
        """Whether the log has a record at an offset from `first` to `end` (exclusive).

        Offsets without one are usual after transactions and compaction, and mean loss everywhere else.
        """
        tp = TopicPartition(topic, partition)
        async with self._turn:
            self._consumer.assign([tp])
            self._consumer.seek(tp, first)
            fetched = await self._consumer.getmany(timeout_ms=int(_FETCH_WITHIN_S * 1000), max_records=1)
        return any(first <= record.offset < end for record in fetched.get(tp, ()))

    async def _high_watermarks(self, listed: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        self._consumer.assign(list(listed))
        for tp, end in listed.items():
            self._consumer.seek(tp, end - 1)
        missing = set(listed)
        deadline = time.monotonic() + _FETCH_WITHIN_S
        # Where the place before the end holds no record (a transaction's marker), the listed end is the true
        # one.
        while missing and time.monotonic() < deadline:
            missing -= set(await self._consumer.getmany(timeout_ms=50))
        return {tp: max(end, self._consumer.highwater(tp) or 0) for tp, end in listed.items()}
