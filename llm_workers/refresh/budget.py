"""How many jobs there may be, and who waits for one: a token bucket over events, and a bounded list by priority."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.growable import Growable
from dyngraph.state import State

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

JOB = 1_000
"""What a job costs, so that ``jobs_per_1000`` is what an event earns: whole numbers, alike however events are cut into
steps."""


class Budget:
    """Users that wait, each once, and what may be spent on them."""

    def __init__(self, jobs_per_1000: int, burst: int, most_waiting: int) -> None:
        self._per_event, self._most, self._room = jobs_per_1000, burst * JOB, most_waiting
        self._credit = 0
        self._rows = np.zeros(0, np.int64)
        self._priority = Growable((), torch.float64)
        self.dropped = 0
        """Users that had to leave the list for others."""
        self.grow(1)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._rows)

    def __contains__(self, user: int) -> bool:
        """Whether one user row waits."""
        return user < len(self._priority) and bool(self._priority.rows[user] > 0)

    def grow(self, length: int) -> None:
        """Make room for ``length`` users."""
        self._priority.grow(length)

    def earn(self, events: int) -> None:
        """Credit for events that came."""
        self._credit = min(self._credit + events * self._per_event, self._most)

    def put(self, users: Ints, priority: Floats) -> None:
        """Let distinct rows ``users [n]`` wait at ``priority [n]`` (above 0), also those that wait already."""
        held: Floats = self._priority.rows
        new = users[held[users] == 0]
        held[users] = priority
        self._rows = np.concatenate((self._rows, new))
        if len(self._rows) > self._room:
            self._rows, rest = self._split(self._room)
            held[rest] = 0
            self.dropped += len(rest)

    def take(self) -> Ints:
        """Those whose turn it is, off the list, the most urgent first. What is not paid for may be taken again."""
        count = self._credit // JOB
        if not count or not len(self._rows):
            return self._rows[:0]
        taken, self._rows = self._split(count)
        held: Floats = self._priority.rows
        ordered = taken[np.lexsort((taken, -held[taken]))]
        held[ordered] = 0
        return ordered

    def pay(self, jobs: int) -> None:
        """Spend what ``jobs`` cost."""
        self._credit -= jobs * JOB

    def _split(self, count: int) -> tuple[Ints, Ints]:
        """The ``count`` rows of highest priority, and the others."""
        if count >= len(self._rows):
            return self._rows, self._rows[:0]
        order = np.argpartition(-self._priority.rows[self._rows], count - 1)
        return self._rows[order[:count]], self._rows[order[count:]]

    def forget(self, user: int) -> None:
        """Take one user off the list."""
        self._priority.view[user] = 0
        self._rows = self._rows[self._rows != user]

    def state(self) -> State:
        """Credit and list."""
        rows = torch.from_numpy(self._rows.copy())
        return {"credit": torch.tensor([self._credit]), "rows": rows, "priority": self._priority.view}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._credit = int(state["credit"])
        self._rows = state["rows"].numpy().copy()
        self._priority.replace(state["priority"])
