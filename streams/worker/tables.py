"""The compact topics a worker must know whole: the catalogue, the users' tombstones, and which weights there are.

They are read through a consumer without a group, so that every worker sees all of them, to the end before the
worker is ready (an item without title or a user who asked to be forgotten must not appear in the first list),
then followed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from dyngraph.events import Item
from streams.codec import NULL_KEY, BadMessage, decode
from streams.messages import ItemMessage, UserMessage, Weights
from streams.settings import Settings
from streams.topics import DEAD_LETTER_MAX_BYTES
from streams.worker.letters import Letters, Origin
from streams.worker.log_ends import LogEnds
from streams.worker.shards import ShardHost

log = logging.getLogger(__name__)

MAX_ITEM_BYTES = 1024 * 1024


class CompactTopics:
    """Reads `items` and `users` into the shards; `announced` is called with each announcement of `weights`."""

    def __init__(
        self,
        broker: str,
        settings: Settings,
        host: ShardHost,
        letters: Letters,
        ends: LogEnds,
        announced: Callable[[Weights], None] = lambda _: None,
    ) -> None:
        self.items = 0
        self.users = 0
        self.ready = False
        self._items = settings.topic("items")
        self._users = settings.topic("users")
        self._weights = settings.topic("weights")
        self._announced = announced
        self._host = host
        self._letters = letters
        self._ends = ends
        self._bad: list[tuple[Origin, BadMessage]] = []
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.split(","),
            client_id="evergraph-tables",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES,
            # The embedded broker answers an empty fetch after half of this, so a new title takes 0.1 s to
            # arrive.
            fetch_max_wait_ms=200,
        )

    async def load(self) -> None:
        """Read all to the end they have now."""
        await self._consumer.start()
        partitions = [TopicPartition(topic, 0) for topic in (self._items, self._users, self._weights)]
        self._consumer.assign(partitions)
        ends = {tp: (await self._ends.ends(tp.topic, [tp.partition]))[tp.partition] for tp in partitions}
        while [tp for tp in partitions if await self._consumer.position(tp) < ends[tp]]:
            await self._take(await self._consumer.getmany(timeout_ms=500))
        self.ready = True
        log.info("catalogue of %d items and %d user records read", self.items, self.users)

    async def follow(self) -> None:
        """Apply what comes, until cancelled."""
        while True:
            await self._report_bad()
            await self._take(await self._consumer.getmany(timeout_ms=1000))

    async def stop(self) -> None:
        """Close the connection."""
        await self._consumer.stop()

    async def _take(self, fetched: dict[TopicPartition, Sequence[Any]]) -> None:
        items: list[Item] = []
        for tp, records in fetched.items():
            for record in records:
                origin = Origin(record.topic, record.partition, record.offset, record.key, record.value)
                try:
                    if tp.topic == self._items:
                        items.append(_item(origin))
                    elif tp.topic == self._weights:
                        if origin.value is not None:
                            self._announced(decode(Weights, origin.value, max_bytes=DEAD_LETTER_MAX_BYTES))
                    else:
                        await self._take_user(origin)
                except BadMessage as bad:
                    self._bad.append((origin, bad))
        if items:
            await self._host.put_items(items)
            self.items += len(items)

    async def _take_user(self, origin: Origin) -> None:
        self.users += 1
        user_id = _key(origin)
        if origin.value is None:
            await self._host.erase(user_id, origin.offset)
            return
        decode(UserMessage, origin.value)  # nothing of it is used yet, but a bad record is told all the same

    async def _report_bad(self) -> None:
        bad, self._bad = self._bad, []
        sent = [await self._letters.dead(origin, error.code, error.message) for origin, error in bad]
        await self._letters.delivered(sent)


def _key(origin: Origin) -> str:
    if origin.key is None:
        raise BadMessage(NULL_KEY, f"a record of {origin.topic} has no key: set the record key to the id")
    return origin.key.decode(errors="replace")


def _item(origin: Origin) -> Item:
    if origin.value is None:
        return Item(item_id=_key(origin), available=False, withdrawn=True)
    message = decode(ItemMessage, origin.value, max_bytes=MAX_ITEM_BYTES)
    return Item(
        item_id=message.item_id,
        title=message.title,
        brand=message.brand,
        categories=tuple(message.categories),
        price=message.price,
        available=message.available,
    )
