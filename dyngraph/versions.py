"""The last versions of what is kept of each user by horizon: what profiles and reasoning graphs have in common.

A version may be used for events strictly later than its horizon only (the no-future rule of every artefact). The last
three are kept, so that a query between two horizons sees the version that counted then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.growable import Growable
from dyngraph.state import State

VERSIONS = 3
"""How many versions of a user's artefact are kept, at most."""

Body = TypeVar("Body")

_encoder = msgspec.msgpack.Encoder()


class Horizons(NamedTuple):
    """How far the newest versions of n users reach."""

    ts: NDArray[np.int64]
    """``[n]`` ms, -1 where there is none."""
    events: NDArray[np.int64]
    """``[n]`` the user's events up to it, 0 where there is none."""


class Found(NamedTuple):
    """Which versions count for U queries, those with a horizon strictly before the query."""

    slots: Tensor
    """``[U]`` int64 rows of the tables."""
    valid: Tensor
    """``[U, 3]`` bool, true first: which versions count, oldest first."""
    ts: Tensor
    """``[U]`` int64 horizon (ms) of the newest of them, -1 for none."""
    events: Tensor
    """``[U]`` int64 events up to that horizon, 0 for none."""


class Versions(Generic[Body]):
    """Slots for users that have something; users without cost four bytes. Slot 0 is that of everybody else.

    Each version has a horizon, a number of events, a row in each of ``tables`` (``[slots, 3, …]``), and a body.
    """

    def __init__(self, body: type[Body], tables: Mapping[str, Growable] | None = None) -> None:
        self._decoder: msgspec.msgpack.Decoder[list[list[Body]]] = msgspec.msgpack.Decoder(list[list[body]])  # type: ignore[valid-type]
        self._slots = Growable((), torch.int32)
        self._users: list[int] = [0]
        self._bodies: list[list[Body]] = [[]]
        self._ts = Growable((VERSIONS,), torch.int64, fill=-1)
        self._events = Growable((VERSIONS,), torch.int64)
        self._tables = {**(tables or {}), "ts": self._ts, "events": self._events}
        self.changes = 0
        """How often something was kept, dropped or loaded: who has seen this count has seen all."""
        self._grow(1)

    def __len__(self) -> int:
        """Users with a version."""
        return len(self._users) - 1

    # -- writing ----------------------------------------------------------------------------------------------

    def newest_ts(self, row: int) -> int:
        """Horizon (ms) of one user row's newest version, -1 for none."""
        return int(self._ts.rows[self.slot(row)].max())

    def add(self, row: int, ts: int, events: int, body: Body) -> tuple[int, int]:
        """Keep a version that is newer than all others of the row, and drop the oldest of four; its slot and place in
        the tables, which the caller fills.
        """
        self.changes += 1
        slot = self.slot(row) or self._take_slot(row)
        bodies = self._bodies[slot]
        if len(bodies) == VERSIONS:
            del bodies[0]
            for table in self._tables.values():
                table.rows[slot, :-1] = table.rows[slot, 1:].copy()
        place = len(bodies)
        bodies.append(body)
        self._ts.rows[slot, place], self._events.rows[slot, place] = ts, events
        return slot, place

    def forget(self, row: int) -> None:
        """Drop all versions of one user row; the last slot moves to where they were."""
        slot = self.slot(row)
        if not slot:
            return
        self.changes += 1
        last = len(self)
        for table in self._tables.values():
            table.rows[slot] = table.rows[last]
            table.truncate(last)
        self._users[slot], self._bodies[slot] = self._users[last], self._bodies[last]
        self._slots.rows[self._users[slot]] = slot
        self._slots.rows[row] = 0
        del self._users[last], self._bodies[last]

    # -- reading ----------------------------------------------------------------------------------------------

    def found(self, users: Tensor, ts: Tensor) -> Found:
        """What counts for the user rows ``users [U]`` at ``ts [U]`` (int64 ms); unknown rows have nothing."""
        known = users.clamp(max=max(len(self._slots) - 1, 0))
        slots = self._slots.view[known].long() * (known == users) if len(self._slots) else torch.zeros_like(users)
        horizons = self._ts.view[slots]
        valid = (horizons >= 0) & (horizons < ts.unsqueeze(1))
        newest = (valid.sum(1, keepdim=True) - 1).clamp(min=0)
        some = valid[:, 0]
        return Found(
            slots,
            valid,
            torch.where(some, horizons.gather(1, newest).squeeze(1), -1),
            torch.where(some, self._events.view[slots].gather(1, newest).squeeze(1), 0),
        )

    def horizons(self, users: NDArray[np.int64]) -> Horizons:
        """Of the newest version of the user rows ``users [n]``; strangers have none."""
        slots, ts, events = self._slots.rows, self._ts.rows, self._events.rows
        if not len(slots):
            return Horizons(np.full(len(users), -1), np.zeros(len(users), np.int64))
        slot = slots[np.minimum(users, len(slots) - 1)] * (users < len(slots))
        newest = ts[slot].argmax(1)
        return Horizons(ts[slot, newest], events[slot, newest])

    def newest(self, row: int, before_ts: int | None = None) -> int | None:
        """Place of one user row's newest version; with ``before_ts`` (ms) the newest with an earlier horizon."""
        slot = self.slot(row)
        for place in reversed(range(len(self._bodies[slot]))):
            if before_ts is None or self._ts.rows[slot, place] < before_ts:
                return place
        return None

    def of(self, row: int) -> list[Body]:
        """The bodies of one user row, oldest first; place p is row p of the user's slot in the tables."""
        return self._bodies[self.slot(row)]

    def moment(self, row: int, place: int) -> tuple[int, int]:
        """Horizon (ms) and number of events of one version."""
        slot = self.slot(row)
        return int(self._ts.rows[slot, place]), int(self._events.rows[slot, place])

    def slot(self, row: int) -> int:
        """Where the tables have what is kept of a user row, 0 for nobody's."""
        return int(self._slots.rows[row]) if row < len(self._slots) else 0

    # -- slots ------------------------------------------------------------------------------------------------

    def _take_slot(self, row: int) -> int:
        slot = len(self._users)
        self._users.append(row)
        self._bodies.append([])
        self._grow(slot + 1)
        self._slots.grow(row + 1)
        self._slots.rows[row] = slot
        return slot

    def _grow(self, slots: int) -> None:
        for table in self._tables.values():
            table.grow(slots)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Slots in order, those of users without a version left out; bodies as bytes of msgpack under ``words``."""
        words = np.frombuffer(_encoder.encode(self._bodies), np.uint8).copy()
        return {
            "users": torch.tensor(self._users, dtype=torch.int64),
            **{name: table.view for name, table in self._tables.items()},
            "words": torch.from_numpy(words),
        }

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self.changes += 1
        self._users = state["users"].tolist()
        self._bodies = self._decoder.decode(state["words"].numpy().tobytes())
        for name, table in self._tables.items():
            table.replace(state[name])
        slots = torch.zeros(max(self._users) + 1, dtype=torch.int32)
        slots[state["users"]] = torch.arange(len(self._users), dtype=torch.int32)
        self._slots.replace(slots)
