"""The scoring agent: every touched user gets a fresh list, and under load fewer lists rather than later ones.

Waiting users are kept once each, however many events they caused: the list is made from the state at its
turn, so one list serves them all. The graph agent and this one take turns on the shard, so neither starves
the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import faust

from dyngraph.lists import RecommendationList
from dyngraph.shard import Shard
from streams.codec import encode, list_id
from streams.messages import Horizon, RecommendationMessage, RecommendedItem
from streams.settings import Settings
from streams.worker.counters import Counters
from streams.worker.shards import HostedShard

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
"""Waiting users per partition; beyond it the longest waiting are dropped and counted: their next event lists
them."""


LATELY = 256


class Made(NamedTuple):
    """A list to be published."""

    list: RecommendationList
    received: int | None
    """Broker time (ms) of the event or request that asked for it; None: measure nothing."""
    request_id: str | None
    """The request it answers, if any."""
    weights: int
    """Version of the encoder's weights that it was made with."""


class ListMaker:
    """Makes and publishes the lists of one hosted partition."""

    def __init__(self, hosted: HostedShard, app: faust.App, settings: Settings, counters: Counters) -> None:
        self.shed = 0
        self.failed = 0
        self.lately: deque[str] = deque(maxlen=LATELY)
        """Users listed last, newest last."""
        self._hosted = hosted
        self._app = app
        self._topic = settings.topic("recommendations")
        self._k = settings.lists_k
        self._at_once = settings.lists_per_call
        self._variant = settings.variant
        self._counters = counters
        self._waiting: dict[str, int | None] = {}
        self._wanted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def touch(self, users: Mapping[str, int | None]) -> None:
        """Ask for lists. Values are the broker time (ms) of the event behind each; None: measure nothing."""
        for user, received in users.items():
            self._waiting.setdefault(user, received)  # the first unlisted event counts, for order and for the clock
        while len(self._waiting) > MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
            self.shed += 1
        if self._waiting:
            self._wanted.set()

    async def run(self) -> None:
        """Make lists until cancelled. One that fails changes no state: it is told, counted, and passed over."""
        while True:
            await self._wanted.wait()
            users = dict(list(self._waiting.items())[: self._at_once])
            for user in users:
                del self._waiting[user]
            if not self._waiting:
                self._wanted.clear()
            begun = time.perf_counter()
            names = list(users)
            try:
                lists, weights = await self._hosted.run(partial(self._recommend, names), size=len(names))
            except Exception:
                log.exception("no lists for %d users", len(names))
                self.failed += len(names)
                continue
            made = [Made(one, users[one.user_id], None, weights) for one in lists]
            await self.publish(made, (time.perf_counter() - begun) * 1000)

    def _recommend(self, users: Sequence[str], shard: Shard) -> tuple[list[RecommendationList], int]:
        # Just after the newest event, not "now": so a published list follows from the log and its horizon alone.
        return shard.recommend(users, at=shard.horizon.next(), k=self._k), shard.engine.encoder.version

    async def publish(self, lists: Sequence[Made], score_ms: float) -> list[Awaitable[object]]:
        """Send lists to `recommendations`, keyed by user; `score_ms` is how long all of them took together."""
        sent: list[Awaitable[object]] = []
        for made in lists:
            key, value = made.list.user_id.encode(), encode(self.message(made, score_ms))
            sent.append(await self._app.producer.send(self._topic, key, value, None, None, None))
        self._counters.lists.add(len(lists))
        self.lately.extend(made.list.user_id for made in lists)
        return sent

    def message(self, one: Made, score_ms: float) -> RecommendationMessage:
        """The published form. `list_id` follows from user, place in the log and variant, so repeats are recognised."""
        made, received, request_id, weights = one
        timings = {"score_ms": round(score_ms, 2)}
        if received is not None:
            waited = time.time() * 1000 - received
            timings["event_to_list_ms"] = round(waited, 1)
            self._counters.list_ms.append(waited)
        partition, horizon = self._hosted.partition, made.horizon
        return RecommendationMessage(
            list_id=list_id(made.user_id, partition, horizon.seq, self._variant, request_id),
            user_id=made.user_id,
            variant=self._variant,
            horizon=Horizon(ts_ms=max(horizon.ts, 0), offset=max(horizon.seq, -1), partition=partition),
            model_version=f"evergraph-{weights}",
            items=tuple(
                RecommendedItem(
                    item_id=item.item_id,
                    title=item.title[:4_000],
                    score=item.score,
                    rank=item.rank,
                    source=item.source,
                    probability=item.probability,
                    reasons=tuple(item.reasons),
                )
                for item in made.items
            ),
            request_id=request_id,
            timings=timings,
        )
