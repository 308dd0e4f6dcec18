"""A server that speaks as much of OpenAI's protocol as we do, on a port of its own, and misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

KEY = "sk-very-secret-0123456789"
GOOD = {"segment": ["nail lover"], "interests": ["gel polish"], "categories": ["Nails"], "brands": ["OPI"]}

Behaviour = Callable[["ChatServer", dict[str, Any], web.Request], Awaitable[web.StreamResponse]]


class ChatServer:
    """``async with ChatServer(behaviour) as server``; what it was asked lies in ``bodies``."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or says(json.dumps(GOOD))
        self.bodies: list[dict[str, Any]] = []
        self.at: list[float] = []
        self.tokens: list[tuple[float, int]] = []
        self.under_way = self.most_under_way = 0

    async def __aenter__(self) -> ChatServer:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_post("/v1/embeddings", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await self._site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.at.append(time.monotonic())
        body = await request.json()
        self.bodies.append(body)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                told = {"error": {"message": f"Incorrect API key: {request.headers.get('Authorization')}"}}
                return web.json_response(told, status=401)
            return await self.behaviour(self, body, request)
        finally:
            self.under_way -= 1


def completion(text: str, prompt_tokens: int = 100, completion_tokens: int = 20) -> web.Response:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


def says(*texts: str, after_s: float = 0.0) -> Behaviour:
    """Each text once, the last one again and again."""

    async def behave(server: ChatServer, body: dict[str, Any], request: web.Request) -> web.Response:
        await asyncio.sleep(after_s)
        return completion(texts[min(len(server.bodies), len(texts)) - 1])

    return behave


def fails(status: int, times: int, headers: dict[str, str] | None = None, message: str = "no") -> Behaviour:
    """That many times, then good answers."""

    async def behave(server: ChatServer, body: dict[str, Any], request: web.Request) -> web.Response:
        if len(server.bodies) <= times:
            return web.json_response({"error": {"message": message}}, status=status, headers=headers)
        return completion(json.dumps(GOOD))

    return behave


async def cuts_off(server: ChatServer, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
    """Half a reply, then the connection is gone."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"message": {"content": "half')
    assert request.transport is not None
    request.transport.close()
    return response


async def dribbles(server: ChatServer, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
    """A byte now and then, so that no single read is slow."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(100):
        await response.write(b" ")
        await asyncio.sleep(0.05)
    return response
