"""The read-only HTTP port of a graph worker: lists, histories and state as JSON.

Everything is computed from the shard at the moment of asking, between two steps; nothing asked here can
change state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from dyngraph.lists import HistoryEntry, RecommendationList
from dyngraph.shard import Shard
from streams.worker.json_http import JsonPort, Problem, json_answer
from streams.worker.profiles import profile_of
from streams.worker.reasoning import Missing, reasoning_of, relations_of, why_none
from streams.worker.shards import HostedShard, NotHosted, ShardHost

MAX_K = 1_000
MAX_HISTORY = 1_000

PATHS = {
    "/lists/{user}?k=10": "a fresh list for a user, best first, with reasons",
    "/history/{user}?n=20": "the user's kept events, newest first",
    "/users/{user}/profile": "what an LLM, or counting, made of the user's history, and how old it is",
    "/users/{user}/reasoning": "the user's chains of reasons, and what could come next",
    "/relations?partition=0": "the latent relations that were found: names, use, strongest pairs",
    "/state?digest=1": "offsets, lag, rates, counters and prequential figures; the digest takes a moment",
    "/health/live": "200 while the process works",
    "/health/ready": "200 when the catalogue is read and every shard has caught up, else 503",
}


class Overview(Protocol):
    """What the port asks of the worker besides its shards."""

    def not_ready(self) -> str | None:
        """Why the worker is not ready, None when it is."""
        ...

    async def state(self, *, digest: bool) -> dict[str, object]:
        """Everything worth watching, JSON-able."""
        ...


class HttpPort(JsonPort):
    """Lists, histories, artefacts and state of the shards that `host` has."""

    def __init__(self, host: ShardHost, overview: Overview) -> None:
        super().__init__(
            {
                "/": self._index,
                "/lists/{user}": self._lists,
                "/history/{user}": self._history,
                "/users/{user}/profile": self._profile,
                "/users/{user}/reasoning": self._reasoning,
                "/relations": self._relations,
                "/state": self._state,
                "/health/live": self._live,
                "/health/ready": self._ready,
            }
        )
        self._host = host
        self._overview = overview

    async def _index(self, request: web.Request) -> web.Response:
        return json_answer({"service": "evergraph graph worker", "paths": PATHS})

    async def _lists(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        k = _whole_number(request, "k", 10, MAX_K)
        hosted = self._hosted(user)

        def work(shard: Shard) -> RecommendationList:
            return shard.recommend([user], k=k)[0]

        made = await hosted.run(work, size=1)
        return json_answer(
            {
                "user_id": made.user_id,
                "horizon": {"ts_ms": made.horizon.ts, "seq": made.horizon.seq, "partition": hosted.partition},
                "items": made.items,
            }
        )

    async def _history(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        n = _whole_number(request, "n", 20, MAX_HISTORY)
        hosted = self._hosted(user)

        def work(shard: Shard) -> list[HistoryEntry]:
            return shard.history(user, n)

        return json_answer({"user_id": user, "events": await hosted.run(work)})

    async def _profile(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        found = await self._hosted(user).run(lambda shard: profile_of(shard, user))
        if found is None:
            raise Problem(
                404,
                f"user {user[:80]!r} has no profile",
                "a profile is made some events after the user's first, by an LLM worker",
                "see `llm_jobs` at /state, and whether a worker runs: `evergraph worker --role llm`",
            )
        return json_answer(found)

    async def _reasoning(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        not_ready = self._overview.not_ready()
        found = await self._hosted(user).run(
            lambda shard: reasoning_of(shard, user) or why_none(shard, user, not_ready)
        )
        if isinstance(found, Missing):
            raise Problem(404, f"user {user[:80]!r} has no reasoning graph", found.rule, found.fix)
        return json_answer(found)

    async def _relations(self, request: web.Request) -> web.Response:
        partition = _whole_number(request, "partition", 0, 2**31 - 1, least=0)
        found = await self._of_partition(partition).run(relations_of)
        if found is None:
            raise Problem(
                404,
                f"partition {partition} has no relation table yet",
                "the first one is made after the first 1,000 events",
                "wait, or see whether `relations` is off in the settings",
            )
        return json_answer(found)

    async def _state(self, request: web.Request) -> web.Response:
        return json_answer(await self._overview.state(digest=request.query.get("digest", "0") not in ("", "0")))

    async def _live(self, request: web.Request) -> web.Response:
        return json_answer({"status": "live"})

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._overview.not_ready()
        if reason is None:
            return json_answer({"status": "ready"})
        return json_answer({"status": "not ready", "reason": reason}, 503)

    def _hosted(self, user: str) -> HostedShard:
        return self._found(lambda: self._host.of_user(user))

    def _of_partition(self, partition: int) -> HostedShard:
        return self._found(lambda: self._host.get(partition))

    @staticmethod
    def _found(find: Callable[[], HostedShard]) -> HostedShard:
        try:
            return find()
        except NotHosted as error:
            raise Problem(
                503,
                str(error),
                "a user is served by the worker that owns the user's partition",
                "ask another worker, or again",
            ) from None


def _whole_number(request: web.Request, name: str, default: int, most: int, least: int = 1) -> int:
    text = request.query.get(name, str(default))
    number = int(text) if text.isdecimal() and len(text) <= 9 else least - 1
    if not least <= number <= most:
        raise Problem(
            400,
            f"{name}={text[:50]!r}",
            f"{name} is a whole number from {least} to {most}",
            f"for example ?{name}={default}",
        )
    return number
