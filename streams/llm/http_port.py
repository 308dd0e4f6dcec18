"""The read-only HTTP port of an LLM worker: whether it works, what waits, and what it cost."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from streams.worker.json_http import JsonPort, json_answer

PATHS = {
    "/state": "queue, ages, cache, tokens and cost per artefact kind, the endpoint's breaker",
    "/health/live": "200 while the process works",
    "/health/ready": "200 while jobs are taken and the endpoint, if there is one, is not given up; else 503",
}


class LlmPort(JsonPort):
    """Shows what `state` and `not_ready` say."""

    def __init__(self, state: Callable[[], dict[str, object]], not_ready: Callable[[], str | None]) -> None:
        super().__init__(
            {"/": self._index, "/state": self._state, "/health/live": self._live, "/health/ready": self._ready}
        )
        self._describe = state
        self._not_ready = not_ready

    async def _index(self, request: web.Request) -> web.Response:
        return json_answer({"service": "evergraph llm worker", "paths": PATHS})

    async def _state(self, request: web.Request) -> web.Response:
        return json_answer(self._describe())

    async def _live(self, request: web.Request) -> web.Response:
        return json_answer({"status": "live"})

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._not_ready()
        if reason is None:
            return json_answer({"status": "ready"})
        return json_answer({"status": "not ready", "reason": reason}, 503)
