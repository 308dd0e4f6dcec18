"""One request to an endpoint, with all the manners: concurrency, budget, breaker, time limits, retries, accounts.

Every request waits for a slot, for the pause that the server asked of anyone, for its share of the token budget,
and for the breaker, in this order; only then does it go out. A failed attempt gives its slot back while it waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from llm_workers.client.breaker import Breaker, BreakerOpen
from llm_workers.client.budget import TokenBudget
from llm_workers.client.failures import EndpointError, endpoint_error
from llm_workers.client.keys import read_key
from llm_workers.client.usage import Usage
from llm_workers.config import LlmConfig
from llm_workers.protocols import LlmError, Spent

log = logging.getLogger(__name__)

BACKOFF_S = 0.5
"""Before the second attempt, on average; doubles with each."""
PRIVATE_LOGGERS = ("openai._base_client", "openai")
"""They write whole requests, people's histories with them, when their level is DEBUG."""

_backoff = wait_random_exponential(multiplier=2 * BACKOFF_S, max=20.0)


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = None


class _Billed(msgspec.Struct):
    usage: _Usage | None = None


class Transport:
    """Posts to ``base_url``; belongs to one event loop. ``budget`` and ``breaker`` are made of ``config`` if None."""

    def __init__(
        self,
        config: LlmConfig,
        *,
        base_url: str = "",
        prices: tuple[float, float] = (0.0, 0.0),
        environ: Mapping[str, str] | None = None,
        budget: TokenBudget | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._config, self._prices = config, prices
        self._key = read_key(config, os.environ if environ is None else environ)
        self._where = f"the endpoint {base_url or config.base_url}"
        self._client = openai.AsyncOpenAI(
            api_key=self._key, base_url=base_url or config.base_url, max_retries=0, timeout=config.timeout_s
        )
        self.budget = TokenBudget(config.tokens_per_minute) if budget is None else budget
        self.breaker = Breaker(config.failures_to_open, config.open_s) if breaker is None else breaker
        self.usage = Usage()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._paused_until = 0.0
        for name in PRIVATE_LOGGERS:
            logging.getLogger(name).addFilter(_no_requests)

    def __repr__(self) -> str:
        return f"<Transport to {self._where}>"

    async def post(self, kind: str, path: str, body: dict[str, Any], most_tokens: int) -> tuple[Any, Spent]:
        """The decoded reply and what it took; ``most_tokens`` bounds that beforehand. Raises :class:`LlmError`."""
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._config.attempts),
            wait=_wait,
            retry=retry_if_exception(self._is_worth_another),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                return await self._attempt(kind, path, body, most_tokens)
        raise AssertionError("tenacity ends by a result or by raising")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, kind: str, path: str, body: dict[str, Any], most_tokens: int) -> tuple[Any, Spent]:
        async with self._slots:
            self.breaker.check()
            await self._pause()
            reservation = await self.budget.reserve(most_tokens)
            used: int | None = 0
            try:
                with self.breaker.request():
                    used = None
                    self.usage.asked(kind)
                    reply, spent = await self._send(path, body)
                used = spent.prompt_tokens + spent.completion_tokens or None
                self.usage.answered(kind, spent)
                return reply, spent
            except EndpointError as error:
                used = 0 if error.free else None
                self._learn(kind, error)
                raise
            finally:
                reservation.settle(used)

    async def _send(self, path: str, body: dict[str, Any]) -> tuple[Any, Spent]:
        started = time.monotonic()
        try:
            # The client's own limit is one per read: a server that sends a byte now and then would never reach it.
            async with asyncio.timeout(self._config.timeout_s):
                reply = await self._client.post(path, body=body, cast_to=object)
        except openai.APIError as error:
            raise endpoint_error(error, self._where, self._key) from None
        except TimeoutError:
            raise EndpointError("timeout", f"{self._where} did not answer in time; see timeout_s", retry=True) from None
        except ValueError:
            raise EndpointError("unavailable", f"{self._where} sent what is not JSON", retry=True) from None
        return reply, self._spent(reply, time.monotonic() - started)

    def _spent(self, reply: Any, seconds: float) -> Spent:
        try:
            usage = msgspec.convert(reply, _Billed).usage or _Usage()
        except msgspec.ValidationError:
            usage = _Usage()
        tokens = max(usage.prompt_tokens, 0), max(usage.completion_tokens or 0, 0)
        usd = sum(count * price for count, price in zip(tokens, self._prices, strict=True)) / 1e6
        return Spent(*tokens, seconds, usd)

    def _learn(self, kind: str, error: EndpointError) -> None:
        self.usage.failed(kind, error.code)
        if error.code == "unauthorised" and self.breaker.state != "broken":
            self.breaker.break_for_good(error)
            log.error("%s", error)
        if error.code == "rate_limited" and error.after_s:
            self._paused_until = max(self._paused_until, time.monotonic() + error.after_s)

    async def _pause(self) -> None:
        while (wait := self._paused_until - time.monotonic()) > 0:
            if wait > self._config.longest_wait_s:
                raise LlmError("rate_limited", f"{self._where} asked for a pause", retry=True, after_s=wait)
            await asyncio.sleep(wait)

    def _is_worth_another(self, error: BaseException) -> bool:
        if not isinstance(error, LlmError) or isinstance(error, BreakerOpen):
            return False
        return error.retry and (error.after_s or 0.0) <= self._config.longest_wait_s


def _wait(state: RetryCallState) -> float:
    """What the server asked for, and some more so that not all come back at once."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after_s or 0.0 if isinstance(error, LlmError) else 0.0
    return asked + _backoff(state)


def _no_requests(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
