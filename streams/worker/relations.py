"""Latent relations out of the worker: each new version of a shard's table goes to `relations`."""

from __future__ import annotations

import time

import faust

from dyngraph.relations import RelationTable, TableMark
from streams.artefact_messages import MAX_NAME, Relation, Relations
from streams.codec import encode
from streams.messages import Horizon
from streams.settings import Settings


class RelationsPublisher:
    """Writes a shard's newest table, once."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app = app
        self._topic = settings.topic("relations")
        self._published: dict[int, TableMark] = {}

    async def publish(self, partition: int, table: RelationTable | None) -> None:
        """Send the table of a partition's shard, if it is another than the last one."""
        if table is None or self._published.get(partition) == table.mark:
            return
        self._published[partition] = table.mark
        message = relations_message(table, partition)
        key = message.entity_id.encode()
        await self._app.producer.send(self._topic, key, encode(message), None, None, None)

    def left(self, partition: int) -> None:
        """Another worker has the partition now, and may publish: what was sent from here says nothing any more."""
        self._published.pop(partition, None)


def relations_message(table: RelationTable, partition: int) -> Relations:
    """The published form."""
    return Relations(
        entity_id=f"shard-{partition}",
        version=table.version,
        horizon=Horizon(ts_ms=max(table.ts, 0), offset=table.offset, partition=partition),
        producer="statistical",
        model_id="shared terms",
        prompt_version="none",
        created_at_ms=int(time.time() * 1000),
        relations=tuple(
            Relation(
                head=pair.past,
                tail=pair.candidate,
                relation=number,
                label=slot.name[:MAX_NAME],
                strength=min(max(pair.score, 0.0), 1.0),
            )
            for number, slot in enumerate(table.slots, 1)
            for pair in slot.pairs
        ),
        names=tuple(slot.name[:MAX_NAME] for slot in table.slots),
        usage=tuple(min(max(slot.usage, 0.0), 1.0) for slot in table.slots),
    )
