"""What a trainer does not say: it takes the same steps as a graph worker, which says it all.

Dead letters, moved records and lists would come twice if both published them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from faust.types import EventT

from streams.worker.letters import Letters, Origin


class Lists(Protocol):
    """What a lane asks of whoever makes its lists."""

    shed: int
    failed: int

    @property
    def lately(self) -> Sequence[str]:
        """Users listed last."""
        ...

    def __len__(self) -> int:
        """How many users wait."""
        ...

    def touch(self, users: Mapping[str, int | None]) -> None:
        """Ask for lists; values are the broker time (ms) of the event behind each."""
        ...


class NoLists:
    """Nobody waits for a list here."""

    shed = failed = 0
    lately: Sequence[str] = ()

    def __len__(self) -> int:
        return 0

    def touch(self, users: Mapping[str, int | None]) -> None:
        """Nothing follows."""


class UnsentLetters(Letters):
    """Counts what another process publishes."""

    async def dead(self, origin: Origin, code: str, text: str) -> Awaitable[object]:
        """Count a record that could not be used."""
        self.by_code[code] += 1
        return _done()

    async def forward(self, event: EventT, user_id: str, partition: int) -> Awaitable[object]:
        """Count a record that another process moves."""
        self.forwarded += 1
        return _done()


def _done() -> Awaitable[object]:
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
