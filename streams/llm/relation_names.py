"""Names for the latent relations that graph workers publish: each table's newest version, when there is time for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from dyngraph.events import Item
from llm_workers.relations.naming import LlmNamer
from streams.artefact_messages import Relations
from streams.llm.outbox import Outbox
from streams.llm.parts import Parts
from streams.relation_names import names_message, names_of, table_of, wanted_names

LOOK_AGAIN_S = 1.0
"""Whether it is this worker that names."""


class RelationNaming:
    """Asks for the names of tables; counted names stay where there are none, so nobody waits for it.

    Without a ``namer`` all names are counted. Only one LLM worker names: the one for which ``mine`` says so.
    """

    def __init__(
        self, namer: LlmNamer | None, items: Mapping[str, Item], outbox: Outbox, mine: Callable[[], bool]
    ) -> None:
        self._namer, self._items, self._outbox, self._mine = namer, items, outbox, mine
        self._waiting: dict[int, Relations] = {}
        self._named: dict[int, int] = {}
        """By partition, the version that has names."""
        self._heard = asyncio.Event()

    def heard(self, message: Relations) -> None:
        """Take note of a table that wants names, or of names that somebody published."""
        if (names := names_of(message)) is not None:
            self._named[names.partition] = names.version
        elif self._namer is not None and (partition := table_of(message)) is not None:
            self._waiting[partition] = message
            self._heard.set()

    async def run(self) -> None:
        """Name what waits, until cancelled."""
        while True:
            await self._heard.wait()
            if not self._mine():
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            self._heard.clear()
            while self._waiting:
                partition, table = self._waiting.popitem()
                if self._namer is not None and self._named.get(partition) != table.version:
                    await self._name(self._namer, partition, table)

    async def _name(self, namer: LlmNamer, partition: int, table: Relations) -> None:
        names = await namer.names(wanted_names(table), self._items.get)
        # A newer table may have come meanwhile; and counted names need not be told.
        if partition not in self._waiting and tuple(names) != table.names:
            await self._outbox.relation_names(names_message(table, partition, names, namer))

    def figures(self) -> dict[str, int]:
        """What was asked, and why counted names were kept."""
        return dict(self._namer.figures) if self._namer is not None else {}


def namer_of(parts: Parts) -> LlmNamer | None:
    """Whoever is asked to reason also names; None where reasons are counted."""
    if parts.reasons is None:
        return None
    name, answerer = parts.reasons
    return LlmNamer(answerer, parts.cache, name=name)
