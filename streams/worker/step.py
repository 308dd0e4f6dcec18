"""From delivered records to one step of the shard: what runs in one turn on the shard, apart from all
publishing.

Decoding happens here, in the same turn as the step itself: a second hop off the event loop would cost every
event twice the wait for the interpreter lock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from faust.types import EventT

from dyngraph.shard import LogRecord, Shard, ShardResult
from streams.codec import KEY_MISMATCH, BadMessage, decode_interaction, to_interaction
from streams.partitioning import partition_of
from streams.worker.letters import Letters

WRONG_PARTITION = "wrong_partition"


class Refused(NamedTuple):
    """A record for the dead letters."""

    event: EventT
    code: str
    text: str


class Moved(NamedTuple):
    """A record for another partition (or the same one under the right key)."""

    event: EventT
    user_id: str
    partition: int


@dataclass
class Outcome:
    """What a step did, and what is left to publish."""

    result: ShardResult
    refused: list[Refused] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    received: dict[str, int] = field(default_factory=dict)
    """Touched users, with the broker time (ms) of their first event in this step."""
    ms: float = 0.0
    """How long it took, without the wait for its turn."""


def take_step(partitions: int, events: Sequence[EventT], shard: Shard) -> Outcome:
    """Decode and validate `events` (one whole step, in offset order) and apply them.

    A record that is refused or moved still consumes its offset: the shard is handed a `LogRecord` without
    interaction.
    """
    begun = time.perf_counter()
    refused: list[Refused] = []
    moved: list[Moved] = []
    records: list[LogRecord] = []
    arrived: dict[str, int] = {}
    for event in events:
        message = event.message
        received = round(message.timestamp * 1000)
        interaction = None
        try:
            decoded = decode_interaction(message.value, message.key)
            home = partition_of(message.key, partitions) if partitions > 1 else 0
            if home == message.partition or partitions == 1:
                interaction = to_interaction(decoded)
                arrived.setdefault(decoded.user_id, received)
            else:
                _move_once(event, decoded.user_id, home, WRONG_PARTITION, refused, moved)
        except BadMessage as bad:
            if bad.code == KEY_MISMATCH and bad.interaction is not None:
                user_id = bad.interaction.user_id
                home = partition_of(user_id.encode(), partitions)
                _move_once(event, user_id, home, bad.code, refused, moved)
            else:
                refused.append(Refused(event, bad.code, bad.message))
        records.append(LogRecord(offset=message.offset, received=received, interaction=interaction))
    result = shard.apply(records)
    if result.rejected:
        by_offset = {event.message.offset: event for event in events}
        refused += [Refused(by_offset[offset], code, text) for offset, code, text in result.rejected]
    touched = result.step.users if result.step is not None else []
    received = {user: arrived[user] for user in touched if user in arrived}
    return Outcome(result, refused, moved, received, (time.perf_counter() - begun) * 1000)


def step_of(partitions: int, events: Sequence[EventT]) -> partial[Outcome]:
    """The step as work for a hosted shard."""
    return partial(take_step, partitions, events)


def _move_once(event: EventT, user_id: str, home: int, code: str, refused: list[Refused], moved: list[Moved]) -> None:
    if Letters.was_moved(event):
        text = f"the record was moved to partition {event.message.partition} once and its user lives on {home}: "
        text += "workers or topics disagree about the number of partitions; run `evergraph topics list`"
        refused.append(Refused(event, code, text))
    else:
        moved.append(Moved(event, user_id, home))
