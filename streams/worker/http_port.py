"""The read-only HTTP port of a graph worker: lists, histories and state as JSON.

Everything is computed from the shard at the moment of asking, between two steps; nothing asked here can
change state.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from aiohttp import web

from dyngraph.lists import HistoryEntry, RecommendationList
from dyngraph.shard import Shard
from streams.worker.shards import HostedShard, NotHosted, ShardHost

log = logging.getLogger(__name__)

MAX_K = 1_000
MAX_HISTORY = 1_000

PATHS = {
    "/lists/{user}?k=10": "a fresh list for a user, best first, with reasons",
    "/history/{user}?n=20": "the user's kept events, newest first",
    "/state?digest=1": "offsets, lag, rates, counters and prequential figures; the digest takes a moment",
    "/health/live": "200 while the process works",
    "/health/ready": "200 when the catalogue is read and every shard has caught up, else 503",
}


class PortTaken(ValueError):
    """Raised when the HTTP port cannot be had."""


class Overview(Protocol):
    """What the port asks of the worker besides its shards."""

    def not_ready(self) -> str | None:
        """Why the worker is not ready, None when it is."""
        ...

    async def state(self, *, digest: bool) -> dict[str, object]:
        """Everything worth watching, JSON-able."""
        ...


class Problem(Exception):
    """An answer other than 200: what is wrong, which rule it breaks, what to do."""

    def __init__(self, status: int, error: str, rule: str, fix: str) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, "rule": rule, "fix": fix}


class HttpPort:
    """Serves on `host:port`; port 0 takes a free one."""

    def __init__(self, host: ShardHost, overview: Overview) -> None:
        self._host = host
        self._overview = overview
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int) -> int:
        """Begin to serve; the port it got. Raises `PortTaken`."""
        app = web.Application(middlewares=[_problems_as_json])
        app.router.add_get("/", self._index)
        app.router.add_get("/lists/{user}", self._lists)
        app.router.add_get("/history/{user}", self._history)
        app.router.add_get("/state", self._state)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise PortTaken(
                f"HTTP port {port} on {address} cannot be used ({error.strerror}): free it, or choose another with "
                "--http-port (0 takes any free one)"
            ) from None
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Finish what is being answered and close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        return _json({"service": "evergraph graph worker", "paths": PATHS})

    async def _lists(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        k = _whole_number(request, "k", 10, MAX_K)
        hosted = self._hosted(user)

        def work(shard: Shard) -> RecommendationList:
            return shard.recommend([user], k=k)[0]

        made = await hosted.run(work, size=1)
        return _json(
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

        return _json({"user_id": user, "events": await hosted.run(work)})

    async def _state(self, request: web.Request) -> web.Response:
        return _json(await self._overview.state(digest=request.query.get("digest", "0") not in ("", "0")))

    async def _live(self, request: web.Request) -> web.Response:
        return _json({"status": "live"})

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._overview.not_ready()
        return _json({"status": "ready"}) if reason is None else _json({"status": "not ready", "reason": reason}, 503)

    def _hosted(self, user: str) -> HostedShard:
        try:
            return self._host.of_user(user)
        except NotHosted as error:
            raise Problem(
                503,
                str(error),
                "a user is served by the worker that owns the user's partition",
                "ask another worker, or again",
            ) from None


def _whole_number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    number = int(text) if text.isdecimal() and len(text) <= 9 else 0
    if not 1 <= number <= most:
        raise Problem(
            400,
            f"{name}={text[:50]!r}",
            f"{name} is a whole number from 1 to {most}",
            f"for example ?{name}={default}",
        )
    return number


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


@web.middleware
async def _problems_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return _json(problem.body, problem.status)
    except web.HTTPException as error:
        rule = "read-only: GET on the paths listed at /"
        return _json(
            {"error": f"{request.method} {request.path}: {error.reason}", "rule": rule, "fix": "GET /"},
            error.status,
        )
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        body = {
            "error": "the worker failed to answer",
            "rule": "this is a fault of ours",
            "fix": "see the worker's log",
        }
        return _json(body, 500)
