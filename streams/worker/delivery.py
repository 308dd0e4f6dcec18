"""Getting events out of Faust without paying for each one on its own.

Measured on two cores with an idle consumer: 6,000 events/s as Faust delivers them, 40,000 with the two short
cuts below. They matter twice, since every turn of the event loop that Faust takes per event also waits for
the interpreter lock that a step holds.

1. For each message Faust's fetcher starts two tasks, to wait for "the message is delivered" or "a rebalance
   begins", whichever comes first. Delivering is putting it into a queue, which hardly ever waits:
   `_Consumer.wait_first` (see `app`) runs it on the spot and starts tasks only if it does wait.
2. A stream gives one event per turn of the event loop. What is in its queue already is taken at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator
from typing import Any

from faust.types import EventT, StreamT

AT_ONCE = 512
"""Events taken in one turn; a rebalance or a health check waits no longer than for these."""


class Begun(Awaitable[Any]):
    """The rest of a coroutine that was started by hand and stopped at its first wait."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waiting_for: Any) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass on what the coroutine waits for, and to it what comes back, until it returns."""
        waiting_for = self._waiting_for
        while True:
            error: BaseException | None = None
            try:
                answer = yield waiting_for
            except BaseException as thrown:  # noqa: BLE001 - a cancellation too belongs to the coroutine
                error = thrown
            try:
                waiting_for = self._coroutine.send(answer) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value


def finished_at_once(coroutine: Coroutine[Any, Any, Any]) -> Begun | None:
    """Run a coroutine up to its first wait: None if it returned without one, else what is left of it."""
    try:
        waiting_for = coroutine.send(None)
    except StopIteration:
        return None
    return Begun(coroutine, waiting_for)


async def deliveries(stream: StreamT) -> AsyncIterator[list[EventT]]:
    """The stream's events in offset order, unacknowledged, as many at once as wait (at most `AT_ONCE`)."""
    unacknowledged = stream.noack()
    app, queue = unacknowledged.app, unacknowledged.channel.queue
    async for event in unacknowledged.events():
        events = [event]
        while len(events) < AT_ONCE and not queue.empty():
            other = queue.get_nowait()
            # As the stream does itself: what was fetched before a rebalance is delivered again after it.
            if app.flow_control.is_active() and other.message.generation_id == app.consumer_generation_id:
                events.append(other)
        yield events
