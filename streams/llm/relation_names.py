"""Names for the latent relations that graph workers publish: each table's newest version, when there is time for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from dyngraph.events import Item
from dyngraph.relations import TableMark
from llm_workers.protocols import LlmError
from llm_workers.relations.naming import LlmNamer
from llm_workers.work.making import guarded
from streams.artefact_messages import Relations
from streams.llm.outbox import Outbox
from streams.llm.parts import Parts
from streams.relation_names import made_for, names_message, names_of, table_of, wanted_names

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""Whether it is this worker that names."""


class RelationNaming:
    """Asks for the names of tables; counted names stay where there are none, so nobody waits for it.

    Without a ``namer`` all names are counted. Only one LLM worker names: the one for which ``mine`` says so. It takes
    ``deadline_s`` for each relation of a table at most.
    """

    def __init__(
        self,
        namer: LlmNamer | None,
        items: Mapping[str, Item],
        outbox: Outbox,
        mine: Callable[[], bool],
        deadline_s: float,
    ) -> None:
        self._namer, self._items, self._outbox, self._mine, self._deadline_s = namer, items, outbox, mine, deadline_s
        self._waiting: dict[int, Relations] = {}
        self._named: dict[int, TableMark] = {}
        """By partition, the table that has names."""
        self._given_up = 0
        self._heard = asyncio.Event()

    def heard(self, message: Relations) -> None:
        """Take note of a table that wants names, or of names that somebody published."""
        if (names := names_of(message)) is not None:
            self._named[names.partition] = names.made_for
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
                if self._namer is not None and self._named.get(partition) != made_for(table):
                    await self._name(self._namer, partition, table)

    async def _name(self, namer: LlmNamer, partition: int, table: Relations) -> None:
        wanted = wanted_names(table)
        try:
            async with guarded("naming relations", self._deadline_s * max(len(wanted), 1)):
                names = await namer.names(wanted, self._items.get)
        except LlmError as error:
            # The table lies in a compact topic: ending the worker for it would end every one that starts after it.
            self._given_up += 1
            log.warning("table %d of partition %d keeps its counted names: %s", table.version, partition, error)
            return
        # A newer table may have come meanwhile; and counted names need not be told.
        if partition not in self._waiting and tuple(names) != table.names:
            await self._outbox.relation_names(names_message(table, partition, names, namer))

    def figures(self) -> dict[str, int]:
        """What was asked, why counted names were kept, and how many tables kept all of theirs as naming broke."""
        return self._namer.figures | {"given_up": self._given_up} if self._namer is not None else {}


def namer_of(parts: Parts) -> LlmNamer | None:
    """Whoever is asked to reason also names; None where reasons are counted."""
    if parts.reasons is None:
        return None
    name, answerer = parts.reasons
    return LlmNamer(answerer, parts.cache, name=name)
