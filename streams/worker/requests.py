"""The requests agent: a list on demand, from the shard of the asking user, published to `recommendations`.

It shares the shard with steps and lists by turns. Requests have one deadline only, the asker's patience, so
they are answered as they come, those that wait together at once; an unknown user gets what is popular.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from faust.types import EventT, StreamT

from dyngraph.events import EventType
from dyngraph.lists import Filters, RecommendationList
from dyngraph.shard import Shard
from streams import messages
from streams.codec import KEY_MISMATCH, NULL_KEY, BadMessage, decode
from streams.messages import RecommendationRequest
from streams.partitioning import partition_of
from streams.worker.counters import Counters
from streams.worker.delivery import deliveries
from streams.worker.graph_agent import GraphAgent
from streams.worker.letters import Letters, Origin
from streams.worker.scoring_agent import ListMaker, Made
from streams.worker.shards import ShardHost
from streams.worker.step import WRONG_PARTITION

log = logging.getLogger(__name__)

LIST_FAILED = "list_failed"

_AT_ONCE = 64
"""Requests answered in one turn on the shard."""


class Asked(NamedTuple):
    """A request and the record it came in."""

    event: EventT
    request: RecommendationRequest


class RequestsAgent:
    """Answers `recommendation-requests`."""

    def __init__(
        self,
        host: ShardHost,
        graph: GraphAgent,
        makers: Mapping[int, ListMaker],
        letters: Letters,
        counters: Counters,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._host = host
        self._graph = graph
        self._makers = makers
        self._letters = letters
        self._counters = counters
        self._fail = fail

    async def consume(self, stream: StreamT) -> None:
        """Answer what waits, many at once; each is acknowledged when its answer (or dead letter) is with the broker."""
        async for events in deliveries(stream):
            for start in range(0, len(events), _AT_ONCE):
                part = events[start : start + _AT_ONCE]
                try:
                    await self._letters.delivered(await self._handle(part))
                except Exception as error:
                    log.exception("requests from offset %d on failed", part[0].message.offset)
                    self._fail(error)
                    return
                for event in part:
                    event.ack()

    async def _handle(self, events: Sequence[EventT]) -> list[Awaitable[object]]:
        sent: list[Awaitable[object]] = []
        asked: dict[int, list[Asked]] = {}
        for event in events:
            read = await self._read(event)
            if isinstance(read, RecommendationRequest):
                asked.setdefault(event.message.partition, []).append(Asked(event, read))
            else:
                sent.append(read)
        for partition, requests in asked.items():
            sent += await self._answer(partition, requests)
        return sent

    async def _read(self, event: EventT) -> RecommendationRequest | Awaitable[object]:
        """The request, or what was sent because there is none for us in it."""
        origin = Origin.of(event)
        try:
            request = decode(RecommendationRequest, origin.value)
            if origin.key is None:
                raise BadMessage(NULL_KEY, "the key is null: set the record key to user_id (UTF-8 bytes)")
        except BadMessage as bad:
            return await self._letters.dead(origin, bad.code, bad.message)
        key = request.user_id.encode()
        home = partition_of(key, self._host.partitions)
        if origin.key == key and home == origin.partition:
            return request
        if self._letters.was_moved(event):
            code = KEY_MISMATCH if origin.key != key else WRONG_PARTITION
            text = f"the user lives on partition {home}: set key and partitioner"
            return await self._letters.dead(origin, code, text)
        return await self._letters.forward(event, request.user_id, home)

    async def _answer(self, partition: int, asked: Sequence[Asked]) -> list[Awaitable[object]]:
        lane = self._graph.lanes.get(partition)
        if lane is None:
            return []  # the partition has just gone; its new owner gets the requests again
        await lane.caught_up.wait()
        begun = time.perf_counter()
        try:
            requests = [one.request for one in asked]
            made, weights = await lane.hosted.run(lambda shard: answers(shard, requests), size=len(requests))
        except Exception as error:
            log.exception("%d requests from offset %d on failed", len(asked), asked[0].event.message.offset)
            text = f"the list could not be made ({type(error).__name__}: {error}): see the worker's log"
            return [await self._letters.dead(Origin.of(one.event), LIST_FAILED, text) for one in asked]
        elapsed_ms = (time.perf_counter() - begun) * 1000
        self._counters.requests += len(asked)
        lists = [
            Made(answer, round(one.event.message.timestamp * 1000), one.request.request_id, weights)
            for one, answer in zip(asked, made, strict=True)
        ]
        return await self._makers[partition].publish(lists, elapsed_ms)


def answers(shard: Shard, requests: Sequence[RecommendationRequest]) -> tuple[list[RecommendationList], int]:
    """In the order of the requests, and the version they were made with; those that ask alike are ranked together."""
    alike: dict[tuple[int, Filters], list[int]] = {}
    for place, one in enumerate(requests):
        alike.setdefault((one.k, _filters(one)), []).append(place)
    made: dict[int, RecommendationList] = {}
    for (k, filters), places in alike.items():
        users = [requests[place].user_id for place in places]
        made |= zip(places, shard.recommend(users, k=k, filters=filters), strict=True)
    return [made[place] for place in range(len(requests))], shard.engine.encoder.version


def _filters(request: RecommendationRequest) -> Filters:
    """What the request asks for, as the engine takes it."""
    asked = request.filters or messages.Filters()
    return Filters(
        exclude=request.exclude,
        hide_after=tuple(EventType.of(name) for name in asked.hide_after),
        categories=asked.categories,
        without_categories=asked.without_categories,
        brands=asked.brands,
        price_min=asked.price_min,
        price_max=asked.price_max,
        available_only=asked.available_only,
    )
