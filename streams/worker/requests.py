"""The requests agent: a list on demand, from the shard of the asking user, published to `recommendations`.

It shares the shard with steps and lists by turns. Requests have one deadline only, the asker's patience, so
they are answered as they come; an unknown user gets what is popular.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from faust.types import EventT, StreamT

from dyngraph.lists import RecommendationList
from dyngraph.shard import Shard
from streams.codec import KEY_MISMATCH, NULL_KEY, BadMessage, decode
from streams.messages import Filters, RecommendationRequest
from streams.partitioning import partition_of
from streams.worker.counters import Counters
from streams.worker.graph_agent import GraphAgent
from streams.worker.letters import Letters, Origin
from streams.worker.shards import ShardHost
from streams.worker.step import WRONG_PARTITION

log = logging.getLogger(__name__)

LIST_FAILED = "list_failed"

_OVERFETCH = 10
"""With filters so many times more items are ranked first: filters see the catalogue, which the ranking does
not."""


class RequestsAgent:
    """Answers `recommendation-requests`."""

    def __init__(
        self,
        host: ShardHost,
        graph: GraphAgent,
        letters: Letters,
        counters: Counters,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._host = host
        self._graph = graph
        self._letters = letters
        self._counters = counters
        self._fail = fail

    async def consume(self, stream: StreamT) -> None:
        """Answer one by one; each is acknowledged when its answer (or dead letter) is with the broker."""
        async for event in stream.noack().events():
            try:
                await self._letters.delivered(await self._handle(event))
            except Exception as error:
                log.exception("request at offset %d failed", event.message.offset)
                self._fail(error)
                return
            event.ack()

    async def _handle(self, event: EventT) -> list[Awaitable[object]]:
        origin = Origin.of(event)
        try:
            request = decode(RecommendationRequest, origin.value)
            if origin.key is None:
                raise BadMessage(NULL_KEY, "the key is null: set the record key to user_id (UTF-8 bytes)")
        except BadMessage as bad:
            return [await self._letters.dead(origin, bad.code, bad.message)]
        key = request.user_id.encode()
        home = partition_of(key, self._host.partitions)
        if origin.key != key or home != origin.partition:
            code = KEY_MISMATCH if origin.key != key else WRONG_PARTITION
            if self._letters.was_moved(event):
                return [
                    await self._letters.dead(
                        origin, code, f"the user lives on partition {home}: set key and partitioner"
                    )
                ]
            return [await self._letters.forward(event, request.user_id, home)]
        return await self._answer(event, request)

    async def _answer(self, event: EventT, request: RecommendationRequest) -> list[Awaitable[object]]:
        lane = self._graph.lanes.get(event.message.partition)
        if lane is None:
            return []  # the partition has just gone; its new owner gets the request again
        await lane.caught_up.wait()
        begun = time.perf_counter()
        try:
            made = await lane.hosted.run(lambda shard: self._recommend(shard, request))
        except Exception as error:
            log.exception("request %s failed", request.request_id)
            text = f"the list could not be made ({type(error).__name__}: {error}): see the worker's log"
            return [await self._letters.dead(Origin.of(event), LIST_FAILED, text)]
        received = {request.user_id: round(event.message.timestamp * 1000)}
        elapsed_ms = (time.perf_counter() - begun) * 1000
        self._counters.requests += 1
        return await lane.lists.publish([made], received, elapsed_ms, {request.user_id: request.request_id})

    def _recommend(self, shard: Shard, request: RecommendationRequest) -> RecommendationList:
        filters = request.filters
        k = request.k if filters is None else request.k * _OVERFETCH
        (made,) = shard.recommend([request.user_id], k=k, exclude=request.exclude)
        if filters is None:
            return made
        kept = [item for item in made.items if self._passes(item.item_id, filters)][: request.k]
        return RecommendationList(made.user_id, made.horizon, kept)

    def _passes(self, item_id: str, filters: Filters) -> bool:
        """Whether the item fits by the catalogue; an unknown one fits only where nothing is asked."""
        item = self._host.item(item_id)
        if item is None:
            return not (filters.categories or filters.brands or filters.price_min or filters.price_max)
        if filters.categories and not set(filters.categories) & set(item.categories):
            return False
        if filters.brands and item.brand not in filters.brands:
            return False
        if filters.price_min is not None and (item.price is None or item.price < filters.price_min):
            return False
        if filters.price_max is not None and (item.price is None or item.price > filters.price_max):
            return False
        return item.available or not filters.available_only
