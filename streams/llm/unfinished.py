"""Jobs that were taken and are not done: which records may be acknowledged, and how many are open.

A record is acknowledged when its job is finished, so a worker that is killed gets it again. After a rebalance a record
comes again too; a job that is still open, or was finished a moment ago, is recognised by its id and not begun anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from faust.types import EventT

REMEMBERED = 10_000
"""Finished jobs that are recognised when they come again."""


class Unfinished:
    """Open jobs by id, with the records that asked for them. Faust keeps events only weakly, so they are held here."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, list[EventT]] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._open)

    def take(self, job_id: str, event: EventT) -> bool:
        """Note a record; whether its job is to be begun."""
        if job_id in self._finished:
            event.ack()
            return False
        known = job_id in self._open
        self._open.setdefault(job_id, []).append(event)
        if len(self._open) >= self._most:
            self._room.clear()
        return not known

    def finish(self, job_id: str) -> None:
        """The job is done, dead, or covered by a newer one: its records are acknowledged."""
        for event in self._open.pop(job_id, ()):
            event.ack()
        self._finished[job_id] = None
        while len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        if len(self._open) < self._most:
            self._room.set()

    def forget_records(self) -> None:
        """A rebalance begins: what is not committed will be delivered again, here or elsewhere."""
        for events in self._open.values():
            events.clear()

    async def room(self) -> None:
        """Wait until another job may be taken; not reading on is what makes Kafka hold the rest."""
        await self._room.wait()
