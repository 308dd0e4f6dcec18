"""A small server that speaks OpenAI's chat completions, and misbehaves as told: what LLM workers are tested against."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiohttp import web

GOOD = {"segment": ["careful buyer"], "interests": ["tea"], "categories": ["kitchen"], "brands": ["Acme"]}


class LlmServer:
    """In a thread of its own, on a free port; what it answers may be changed while it runs."""

    def __init__(self, *, delay_s: float = 0.0, text: str = json.dumps(GOOD), status: int = 200) -> None:
        self.delay_s, self.text, self.status = delay_s, text, status
        self.asked: Counter[str] = Counter()
        """Requests by the text of their last message."""
        self.waiting = 0
        """Requests that were taken and not answered yet."""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._port = 0

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def requests(self) -> int:
        """How many came."""
        return sum(self.asked.values())

    def __enter__(self) -> LlmServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start(self._complete))
        self._ready.set()
        self._loop.run_forever()

    async def _start(self, complete: Callable[[web.Request], Awaitable[web.Response]]) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked[body["messages"][-1]["content"]] += 1
        self.waiting += 1
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.waiting -= 1
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": self.text}}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"]}
        return web.json_response(answer | {"choices": [choice], "usage": usage})
