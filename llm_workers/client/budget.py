"""Tokens per minute, exactly: a moving window in which tokens are reserved before a request and settled after it.

Rate limiters on the shelf count calls whose price is known when they start (leaky buckets, fixed windows). A request
to a language model has a price that is known only when it ends, and a bucket that refills lets twice its size
through in one minute. So: an upper bound of the price is reserved, and exchanged for the true price at the end.

A reservation counts as long as the request is under way, and its settled price for ``span_s`` from the moment of
settling. Whenever within its request the server counts a price, no window of ``span_s`` ever holds more than the
limit: of all prices that fall into a window let j's be the one reserved last. Every other one was reserved before j
and settled less than ``span_s`` before j's reservation, or not yet; so it was counted when j was found to fit.

That holds while no price exceeds its reservation. A server that counts otherwise shows it with its first answers:
later reservations grow by the worst ratio seen, and the very first request goes alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from llm_workers.protocols import LlmError

SPAN_S = 60.0


class Window:
    """The arithmetic: knows no clock and waits for nobody. Times are seconds of one clock, never decreasing."""

    def __init__(self, limit: int, span_s: float = SPAN_S) -> None:
        self.limit, self.span_s = limit, span_s
        self.ratio = 1.0
        """Worst price seen, as a multiple of what was asked for."""
        self._proven = False
        self._settled: deque[tuple[float, int]] = deque()
        self._settled_tokens = 0
        self._under_way = 0
        self._under_way_tokens = 0

    def counted(self, now: float) -> int:
        """Tokens that count at ``now``: under way, or settled within the span."""
        while self._settled and now - self._settled[0][0] >= self.span_s:
            self._settled_tokens -= self._settled.popleft()[1]
        return self._settled_tokens + self._under_way_tokens

    def needed(self, estimate: int) -> int:
        """What is reserved for an estimate."""
        return min(math.ceil(estimate * self.ratio), self.limit)

    def wait_s(self, estimate: int, now: float) -> float:
        """Seconds until it may fit if nothing is settled before: 0 now, infinity only after something is settled."""
        missing = self.counted(now) + self.needed(estimate) - self.limit
        if self._under_way and not self._proven:
            return math.inf
        if missing <= 0:
            return 0.0
        for at, tokens in self._settled:
            missing -= tokens
            if missing <= 0:
                return max(at + self.span_s - now, 0.0)
        return math.inf

    def reserve(self, estimate: int) -> int:
        """Count it from now on; gives the tokens reserved."""
        tokens = self.needed(estimate)
        self._under_way += 1
        self._under_way_tokens += tokens
        return tokens

    def settle(self, reserved: int, estimate: int, used: int | None, now: float) -> None:
        """Exchange a reservation for its price; None: unknown, all that was reserved."""
        self._under_way -= 1
        self._under_way_tokens -= reserved
        if used:
            self._proven = True
            self.ratio = max(self.ratio, used / max(estimate, 1))
        price = reserved if used is None else used
        if price:
            self._settled.append((now, price))
            self._settled_tokens += price


class Reservation:
    """Tokens held for one request; settle it exactly when the request is over (more often does no harm)."""

    def __init__(self, budget: TokenBudget, estimate: int, tokens: int) -> None:
        self._budget, self._estimate, self._tokens = budget, estimate, tokens
        self._open = True

    def settle(self, used: int | None) -> None:
        """What it cost; None: nobody knows, so all that was reserved."""
        if self._open:
            self._open = False
            self._budget.settle(self._tokens, self._estimate, used)


class TokenBudget:
    """A :class:`Window` that requests of one event loop wait at, first come, first served.

    ``tokens_per_minute`` is per ``span_s`` really; 0 sets no limit.
    """

    def __init__(
        self, tokens_per_minute: int, *, span_s: float = SPAN_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window = Window(tokens_per_minute, span_s) if tokens_per_minute else None
        self._clock = clock
        self._turn, self._changed = asyncio.Lock(), asyncio.Event()

    def counted(self) -> int:
        """Tokens that count right now; 0 without a limit."""
        return self._window.counted(self._clock()) if self._window else 0

    async def reserve(self, estimate: int) -> Reservation:
        """Wait until ``estimate`` tokens fit. Raises :class:`LlmError` (``over_budget``) for what never will."""
        if self._window is None:
            return Reservation(self, estimate, 0)
        if estimate > self._window.limit:
            raise LlmError(
                "over_budget",
                f"a request of up to {estimate} tokens never fits into tokens_per_minute = {self._window.limit}; "
                "raise it, or set 0 for no limit",
                retry=False,
            )
        async with self._turn:
            while wait := self._window.wait_s(estimate, self._clock()):
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), None if math.isinf(wait) else wait)
                except TimeoutError:
                    continue
            return Reservation(self, estimate, self._window.reserve(estimate))

    def settle(self, reserved: int, estimate: int, used: int | None) -> None:
        """Called by the reservation."""
        if self._window is not None:
            self._window.settle(reserved, estimate, used, self._clock())
            self._changed.set()
