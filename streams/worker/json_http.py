"""A read-only HTTP port that answers in JSON: what every role's port has in common."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]


class PortTaken(ValueError):
    """Raised when the HTTP port cannot be had."""


class Problem(Exception):
    """An answer other than 200: what is wrong, which rule it breaks, what to do."""

    def __init__(self, status: int, error: str, rule: str, fix: str) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, "rule": rule, "fix": fix}


class JsonPort:
    """Serves `routes` (aiohttp path to handler) on `host:port`; port 0 takes a free one."""

    def __init__(self, routes: Mapping[str, Handler]) -> None:
        self._routes = routes
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int) -> int:
        """Begin to serve; the port it got. Raises `PortTaken`."""
        app = web.Application(middlewares=[_problems_as_json])
        for path, handler in self._routes.items():
            app.router.add_get(path, handler)
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


def json_answer(body: object, status: int = 200) -> web.Response:
    """`body` as JSON."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


@web.middleware
async def _problems_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return json_answer(problem.body, problem.status)
    except web.HTTPException as error:
        rule = "read-only: GET on the paths listed at /"
        return json_answer(
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
        return json_answer(body, 500)
