"""Jobs, how they end, and the line in which they wait."""

from __future__ import annotations

import asyncio
import enum
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec


class Request(Protocol):
    """What an artefact is to be made from, as far as the workbench looks at it."""

    @property
    def user_id(self) -> str:
        """Whom it is about."""
        ...

    @property
    def ts(self) -> int:
        """Horizon: event time, ms."""
        ...

    @property
    def offset(self) -> int:
        """Horizon: place in the log."""
        ...


Asked = TypeVar("Asked", bound=Request)


class Job(msgspec.Struct, Generic[Asked], frozen=True):
    """Somebody wants a newer artefact of a user."""

    request: Asked
    job_id: str = ""
    """Equal for the same user, kind and horizon."""
    priority: float = 0.5
    """0 to 1; what is more urgent goes first."""

    @property
    def horizon(self) -> tuple[int, int]:
        """Orders the jobs of one user."""
        return self.request.ts, self.request.offset


class Outcome(enum.Enum):
    """How a job has ended, so that whoever brought it may acknowledge it."""

    PUBLISHED = "published"
    DEAD = "dead"
    """Given up, and handed to ``dead``."""
    COALESCED = "coalesced"
    """A newer job of the user does, or did, what it asked for."""
    DROPPED = "dropped"
    """There was no room; the user is asked for again when there are more events."""
    ERASED = "erased"


@dataclass(eq=False)
class Entry:
    """A job with all that happens to it."""

    job: Job[Any]
    since: float
    """When the user began to wait."""
    futures: list[asyncio.Future[Outcome]]
    """Of everybody who brought this very job."""
    attempts: int = 0
    not_before: float = 0.0
    """Moment of the next attempt."""
    publishing: bool = False
    """Past the point where it can be called back."""
    erased: bool = False
    task: asyncio.Task[Outcome | None] | None = field(default=None, repr=False)

    @property
    def user(self) -> str:
        """Whom it is about."""
        user: str = self.job.request.user_id
        return user

    def settle(self, outcome: Outcome) -> None:
        """Tell all who wait for it."""
        for future in self.futures:
            if not future.done():
                future.set_result(outcome)

    def give_back(self, error: BaseException | None) -> None:
        """Tell them that it is not finished, and will not be; without an error because the work has ended."""
        for future in self.futures:
            if future.done():
                continue
            if error is None:
                future.cancel()
            else:
                future.set_exception(error)


class Line:
    """Entries in the order of their turn: by priority, where waiting ``ageing_s`` is worth 1.

    As all age alike, an entry's place is fixed when it comes: a sorted list, popped at either end.
    """

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._keys: list[tuple[float, str]] = []
        self._entries: dict[str, tuple[tuple[float, str], Entry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Line up; at most one entry per user."""
        key = (entry.since / self._ageing_s - entry.job.priority, entry.user)
        insort(self._keys, key)
        self._entries[entry.user] = key, entry

    def best(self) -> Entry:
        """Take out whose turn it is."""
        return self._entries.pop(self._keys.pop(0)[1])[1]

    def worst(self) -> Entry:
        """Take out the last one."""
        return self._entries.pop(self._keys.pop()[1])[1]

    def remove(self, user: str) -> None:
        """Take a user out, if in the line."""
        found = self._entries.pop(user, None)
        if found is not None:
            del self._keys[bisect_left(self._keys, found[0])]
