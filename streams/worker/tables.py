"""The compact topics a graph worker must know whole: the catalogue, the users' tombstones, and which weights there are.

They are read to the end before the worker is ready: an item without title or a user who asked to be forgotten must not
appear in the first list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from dyngraph.events import Item
from streams.codec import BadMessage, decode
from streams.messages import ItemMessage, UserMessage, Weights
from streams.settings import Settings
from streams.topics import DEAD_LETTER_MAX_BYTES
from streams.worker.compact import CompactReader, key_of
from streams.worker.letters import Letters, Origin
from streams.worker.log_ends import LogEnds
from streams.worker.shards import ShardHost

log = logging.getLogger(__name__)

MAX_ITEM_BYTES = 1024 * 1024


class CompactTopics(CompactReader):
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
        self._announced = announced
        self._host = host
        takers = {
            settings.topic("items"): self._take_items,
            settings.topic("users"): self._take_users,
            settings.topic("weights"): self._take_weights,
        }
        super().__init__(broker, "evergraph-tables", takers, letters, ends)

    async def load(self) -> None:
        """Read all to the end they have now."""
        await super().load()
        log.info("catalogue of %d items and %d user records read", self.items, self.users)

    async def _take_items(self, origins: Sequence[Origin]) -> None:
        items = list(read_items(origins, self.refuse))
        if items:
            await self._host.put_items(items)
            self.items += len(items)

    async def _take_weights(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            try:
                if origin.value is not None:
                    self._announced(decode(Weights, origin.value, max_bytes=DEAD_LETTER_MAX_BYTES))
            except BadMessage as bad:
                self.refuse(origin, bad)

    async def _take_users(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            self.users += 1
            try:
                user_id = key_of(origin)
                if origin.value is not None:
                    # Nothing of it is used yet, but a bad record is told all the same.
                    decode(UserMessage, origin.value)
                    continue
            except BadMessage as bad:
                self.refuse(origin, bad)
                continue
            await self._host.erase(user_id, origin.offset)


def read_items(origins: Sequence[Origin], refuse: Callable[[Origin, BadMessage], None]) -> list[Item]:
    """The catalogue entries in records of `items`; `refuse` gets those that are none."""
    items = []
    for origin in origins:
        try:
            items.append(_item(origin))
        except BadMessage as bad:
            refuse(origin, bad)
    return items


def _item(origin: Origin) -> Item:
    if origin.value is None:
        return Item(item_id=key_of(origin), available=False, withdrawn=True)
    message = decode(ItemMessage, origin.value, max_bytes=MAX_ITEM_BYTES)
    return Item(
        item_id=message.item_id,
        title=message.title,
        brand=message.brand,
        categories=tuple(message.categories),
        price=message.price,
        available=message.available,
    )
