"""Events that were delivered and wait for their step.

Faust's `noack_take` gathers a batch by a timer, which costs every event half of the timer and wakes an idle
worker all the time. Here one side puts events as they come and the other takes whatever is there when the
shard is free, so batches grow by themselves exactly when the shard is the bottleneck, and an event on a quiet
topic waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from faust.types import EventT


class Intake:
    """A bounded queue of one partition's events, in offset order."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._events: deque[EventT] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first(self) -> int | None:
        """The offset that comes next, None when empty."""
        return self._events[0].message.offset if self._events else None

    @property
    def last(self) -> int | None:
        """The newest delivered offset, None when empty."""
        return self._events[-1].message.offset if self._events else None

    async def put(self, events: Sequence[EventT]) -> None:
        """Add events; waits while the bound is reached, which makes Faust stop fetching."""
        await self._room.wait()
        self._events.extend(events)
        self._changed.set()
        if len(self._events) >= self._bound:
            self._room.clear()

    async def wait(self) -> None:
        """Wait for the next change: an event more, or everything gone."""
        self._changed.clear()
        await self._changed.wait()

    def take(self, count: int) -> list[EventT]:
        """The oldest events, at most `count`."""
        taken = [self._events.popleft() for _ in range(min(count, len(self._events)))]
        self._make_room()
        return taken

    def take_through(self, offset: int, at_most: int | None = None) -> list[EventT]:
        """The oldest events up to and including `offset`."""
        taken: list[EventT] = []
        while self._events and self._events[0].message.offset <= offset and len(taken) != at_most:
            taken.append(self._events.popleft())
        self._make_room()
        return taken

    def expect(self, count: int) -> None:
        """A step needs `count` events at once: never let the bound stand in its way."""
        self._bound = max(self._bound, count)
        self._make_room()

    def clear(self) -> None:
        """Drop everything: after a rebalance it is delivered again."""
        self._events.clear()
        self._make_room()
        self._changed.set()

    def _make_room(self) -> None:
        if len(self._events) < self._bound:
            self._room.set()
