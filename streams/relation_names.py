"""Names of latent relations on their way: a shard's table goes out, what somebody calls its relations comes back.

Both travel in `relations`: tables under the key `shard-N`, names under `names-N`, where N is the shard's partition.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from dyngraph.relations import Pair, RelationNames, TableMark
from llm_workers.relations.naming import LlmNamer, NamedPairs
from streams.artefact_messages import Relations

_KEY = re.compile(r"(shard|names)-(\d{1,6})")


def table_of(message: Relations) -> int | None:
    """The partition whose table this is; None for anything else."""
    return _partition(message, "shard")


def names_of(message: Relations) -> RelationNames | None:
    """The names that a message brings; None for anything else."""
    partition = _partition(message, "names")
    if partition is None:
        return None
    version, ts, offset = made_for(message)
    return RelationNames(partition, version, message.names, message.producer, ts, offset)


def made_for(message: Relations) -> TableMark:
    """Which table this is, or which one these names were made for."""
    return TableMark(message.version, message.horizon.ts_ms, message.horizon.offset)


def wanted_names(table: Relations) -> list[NamedPairs]:
    """The relations of a published table, in the order of their numbers, with their strongest pairs."""
    pairs: list[list[Pair]] = [[] for _ in table.names]
    for one in table.relations:
        if 1 <= one.relation <= len(pairs):
            pairs[one.relation - 1].append(Pair(one.head, one.tail, one.strength))
    return [NamedPairs(tuple(own), name) for own, name in zip(pairs, table.names, strict=True)]


def names_message(table: Relations, partition: int, names: Sequence[str], namer: LlmNamer) -> Relations:
    """The published form of names for a table."""
    return Relations(
        entity_id=f"names-{partition}",
        version=table.version,
        horizon=table.horizon,
        producer=namer.name,
        model_id=namer.model_id,
        prompt_version=namer.prompt_version,
        created_at_ms=int(time.time() * 1000),
        names=tuple(names),
    )


def _partition(message: Relations, kind: str) -> int | None:
    found = _KEY.fullmatch(message.entity_id)
    return int(found[2]) if found and found[1] == kind else None
