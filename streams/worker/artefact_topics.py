"""What LLM workers made, on its way into the shards: `profiles`, `reasoning-graphs`, `item-vectors` and the names in
`relations`, through a consumer without a group.

Nothing waits for it: lists are made before these topics are read to the end, and without them. A shard is given them
only when it has caught up with its log, since a profile of a user it does not know yet would be refused. A shard that
catches up later than others makes the reader begin again; the others are not given anything twice. What a shard knows
already it does not log again, so reading everything at each start costs no growth.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from dyngraph.graph import DynamicGraph
from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph as Graph
from dyngraph.shard import Shard
from streams.artefact_messages import ItemVector, Profile, ReasoningGraph, Relations
from streams.artefacts import reasoning_graph, user_profile
from streams.codec import KEY_MISMATCH, NULL_KEY, BadMessage, decode
from streams.partitioning import partition_of
from streams.relation_names import names_of
from streams.settings import Settings
from streams.topics import MIB
from streams.worker.ending import ending
from streams.worker.graph_agent import GraphAgent, Lane
from streams.worker.letters import Letters, Origin
from streams.worker.shards import ShardHost

log = logging.getLogger(__name__)

T = TypeVar("T")

TURN = 64
"""Records that are handed to a shard in one turn: a step that comes meanwhile waits for no more than these."""

FETCH_WAIT_MS = 1_000
"""How long the broker may hold an empty fetch. A long one: lists need the time of this process more than news does."""

LOOK_AGAIN_S = 0.2
"""While no shard has caught up."""


class ArtefactTopics:
    """Offers what the topics hold to the shards of this worker that have caught up."""

    def __init__(self, broker: str, settings: Settings, graph: GraphAgent, host: ShardHost, letters: Letters) -> None:
        self._prefix = settings.prefix
        self.taken: Counter[str] = Counter()
        """Records handed to shards, by topic (table name)."""
        self._graph = graph
        self._host = host
        self._letters = letters
        self._profiles = TopicPartition(settings.topic("profiles"), 0)
        self._reasoning = TopicPartition(settings.topic("reasoning-graphs"), 0)
        self._vectors = TopicPartition(settings.topic("item-vectors"), 0)
        self._relations = TopicPartition(settings.topic("relations"), 0)
        self._topics = (self._profiles, self._reasoning, self._vectors, self._relations)
        self._given: dict[Lane, dict[TopicPartition, int]] = {}
        self._told = dict.fromkeys(self._topics, -1)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.split(","),
            client_id="evergraph-artefacts",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MIB,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )

    async def run(self) -> None:
        """Read and offer until cancelled."""
        await self._consumer.start()
        self._consumer.assign(list(self._topics))
        while True:
            await self._begin_again_for_newcomers()
            if not self._given:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            fetched = await self._consumer.getmany(timeout_ms=2 * FETCH_WAIT_MS, max_records=TURN)
            for tp, records in fetched.items():
                await self._take(tp, records)
                for given in self._given.values():
                    given[tp] = max(given[tp], records[-1].offset + 1)

    async def stop(self) -> None:
        """Close the connection."""
        async with ending(self._consumer):
            await self._consumer.stop()

    async def _begin_again_for_newcomers(self) -> None:
        caught_up = [lane for lane in self._graph.lanes.values() if lane.caught_up.is_set()]
        self._given = {lane: self._given.get(lane, dict.fromkeys(self._topics, -1)) for lane in caught_up}
        for tp in self._topics:
            if any(given[tp] < 0 for given in self._given.values()):
                await self._consumer.seek_to_beginning(tp)
                for given in self._given.values():
                    given[tp] = max(given[tp], 0)

    async def _take(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        if tp == self._vectors:
            await self._take_vectors(records)
        elif tp == self._relations:
            await self._take_names(records)
        elif tp == self._profiles:
            profiles = await self._of_users(tp, Profile, records, profile_of)
            for lane, newest in profiles.items():
                await self._offer(lane, partial(Shard.offer_profiles, profiles=newest), len(newest))
        else:
            made = await self._of_users(tp, ReasoningGraph, records, reasoning_of)
            for lane, graphs in made.items():
                await self._offer(lane, partial(Shard.offer_reasoning, graphs=graphs), len(graphs))

    async def _of_users(
        self,
        tp: TopicPartition,
        kind: type[Any],
        records: Sequence[Any],
        kept_form: Callable[[Any, DynamicGraph], T],
    ) -> dict[Lane, list[T]]:
        """What the records hold for each shard that lacks it: of each user the newest."""
        wanted: dict[Lane, dict[str, T]] = {}
        for record in records:
            lane = self._graph.lanes.get(partition_of(record.key or b"", self._host.partitions))
            if record.value is None:  # taken back: what the shard held of it went with the user's tombstone
                if lane in wanted and record.key is not None:
                    wanted[lane].pop(record.key.decode(errors="replace"), None)
                continue
            message = await self._decoded(kind, record, lambda message: message.entity_id)
            if message is None or self._host.erased_since(message.entity_id, message.erasures):
                continue
            if lane is not None and self._lacks(lane, tp, record.offset):
                graph = lane.hosted.shard.engine.graph
                wanted.setdefault(lane, {})[message.entity_id] = kept_form(message, graph)
        self.taken[tp.topic.removeprefix(self._prefix)] += sum(map(len, wanted.values()))
        return {lane: list(newest.values()) for lane, newest in wanted.items()}

    async def _take_vectors(self, records: Sequence[Any]) -> None:
        vectors: dict[str, bytes] = {}
        for record in records:
            if record.value is None:
                continue
            message = await self._decoded(ItemVector, record, lambda message: message.item_id)
            if message is not None:
                vectors[message.item_id] = message.vector
        if not vectors:
            return
        self.taken["item-vectors"] += len(vectors)
        for lane in list(self._given):
            if self._lacks(lane, self._vectors, records[-1].offset):
                await self._offer(lane, lambda shard: shard.put_text_vectors(vectors), len(vectors))

    async def _take_names(self, records: Sequence[Any]) -> None:
        """Names go to the shard whose table they are for; the tables in this topic are told to others."""
        for record in records:
            if record.value is None:
                continue
            message = await self._decoded(Relations, record, lambda message: message.entity_id)
            names = names_of(message) if message is not None else None
            lane = self._graph.lanes.get(names.partition) if names is not None else None
            if names is not None and lane is not None and self._lacks(lane, self._relations, record.offset):
                self.taken["relations"] += 1
                await self._offer(lane, partial(Shard.offer_relation_names, names=names), 1)

    def _lacks(self, lane: Lane, tp: TopicPartition, offset: int) -> bool:
        given = self._given.get(lane)
        return given is not None and given[tp] <= offset

    async def _offer(self, lane: Lane, work: Callable[[Shard], object], size: int) -> None:
        try:
            await lane.hosted.run(work, size=size)
        except Exception:
            if self._graph.lanes.get(lane.hosted.partition) is lane:
                raise
            log.info("partition %d went away while it was given artefacts", lane.hosted.partition)

    async def _decoded(self, kind: Any, record: Any, id_of: Callable[[Any], str]) -> Any:
        """The message, or None after a dead letter; each bad record is told once, however often it is read."""
        try:
            if record.key is None:
                raise BadMessage(NULL_KEY, f"a record of {record.topic} has no key: set the record key to the id")
            message = decode(kind, record.value, max_bytes=MIB)
            if id_of(message).encode() != record.key:
                raise BadMessage(KEY_MISMATCH, f"the key {record.key[:80]!r} is not the id inside: set it to the id")
            return message
        except BadMessage as bad:
            tp = TopicPartition(record.topic, record.partition)
            if record.offset > self._told[tp]:
                self._told[tp] = record.offset
                origin = Origin(record.topic, record.partition, record.offset, record.key, record.value)
                await self._letters.dead(origin, bad.code, bad.message)
            return None


def profile_of(message: Profile, graph: DynamicGraph) -> UserProfile:
    """What a graph keeps of a published profile."""
    return user_profile(message, graph.profiles.width)


def reasoning_of(message: ReasoningGraph, graph: DynamicGraph) -> Graph:
    """What a graph keeps of a published reasoning graph."""
    return reasoning_graph(message, graph.reasoning.width)
