"""What an LLM worker knows besides its jobs: texts of items, who was erased, published vectors and relations."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from dyngraph.events import Item
from streams.artefact_messages import ItemVector, LlmJob, Relations
from streams.codec import BadMessage, decode
from streams.llm.users import Said, said_in
from streams.settings import Settings
from streams.topics import MIB
from streams.worker.compact import CompactReader, key_of
from streams.worker.letters import Letters, Origin
from streams.worker.log_ends import LogEnds
from streams.worker.tables import read_items

log = logging.getLogger(__name__)

Erase = Callable[[str, int], Awaitable[None]]


class Known(CompactReader):
    """Reads `items`, `users`, `item-vectors` and `relations`.

    `erase` is called with the user and offset of each tombstone, `user` with what a user said of themselves (None:
    erased), `vector` with each item's vector (None: it is gone), `relations` with each table of relations or names for
    one.
    """

    def __init__(
        self,
        broker: str,
        settings: Settings,
        letters: Letters,
        ends: LogEnds,
        items: dict[str, Item],
        *,
        erase: Erase,
        changed: Callable[[Sequence[Item]], None],
        user: Callable[[str, Said | None], None],
        vector: Callable[[str, ItemVector | None], None],
        relations: Callable[[Relations], None],
    ) -> None:
        self.items = items
        self.vectors: dict[str, str] = {}
        """By item, which text its published vector is of."""
        self._tombstones: dict[str, int] = {}
        self._told = settings.llm.told
        self._erase = erase
        self._changed, self._user, self._vector, self._relations = changed, user, vector, relations
        takers = {
            settings.topic("item-vectors"): self._take_vectors,
            settings.topic("items"): self._take_items,
            settings.topic("relations"): self._take_relations,
            settings.topic("users"): self._take_users,
        }
        super().__init__(broker, "evergraph-llm-tables", takers, letters, ends, fetch_wait_ms=500)

    async def load(self) -> None:
        """Read all to the end they have now."""
        await super().load()
        log.info("%d items and %d item vectors known", len(self.items), len(self.vectors))

    def erased_since(self, job: LlmJob) -> bool:
        """Whether the job's user was erased after the job was asked for."""
        return self._tombstones.get(job.entity_id, -1) > job.erasures

    async def _take_items(self, origins: Sequence[Origin]) -> None:
        items = read_items(origins, self.refuse)
        self.items.update((item.item_id, item) for item in items)
        self._changed(items)

    async def _take_users(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            if origin.key is None:
                continue  # a graph worker tells of it
            user_id = key_of(origin)
            if origin.value is None:
                self._tombstones[user_id] = origin.offset
                self._user(user_id, None)
                await self._erase(user_id, origin.offset)
            elif (said := said_in(origin.value, self._told)) is not None:
                self._user(user_id, said)

    async def _take_vectors(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            try:
                if origin.value is None:
                    self.vectors.pop(key_of(origin), None)
                    self._vector(key_of(origin), None)
                else:
                    vector = decode(ItemVector, origin.value, max_bytes=MIB)
                    self.vectors[vector.item_id] = vector.text_hash
                    self._vector(vector.item_id, vector)
            except BadMessage as bad:
                log.warning("%s/%d: %s", origin.topic, origin.offset, bad.message)

    async def _take_relations(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            if origin.value is not None:
                try:
                    self._relations(decode(Relations, origin.value, max_bytes=MIB))
                except BadMessage as bad:
                    log.warning("%s/%d: %s", origin.topic, origin.offset, bad.message)
