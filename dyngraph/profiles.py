"""User profiles as graph data: what an LLM, or counting, made of a user's history up to a horizon.

A profile may be used for events strictly later than its horizon only (the no-future rule of every artefact). The last
three versions of a user are kept, so that a query between two horizons sees the version that counted then.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.growable import Growable
from dyngraph.ids import IdTable
from dyngraph.state import State

FACETS = ("segment", "interests", "categories", "brands")
"""The four facets of a profile, in the order of every array that has one row per facet (DynLLM)."""

VERSIONS = 3
"""How many versions of a user's profile are kept, at most."""


class UserProfile(msgspec.Struct, frozen=True):
    """One version of a user's profile."""

    user_id: str
    ts: int
    """Horizon: event time, ms, of the newest event that it was made from."""
    offset: int
    """Horizon: offset of that event in the log of the user's partition, -1 where there is no log."""
    events: int
    """How many events the user had up to the horizon."""
    facets: tuple[tuple[str, ...], ...]
    """Phrases of each facet of :data:`FACETS`, the most telling first."""
    vectors: bytes
    """Float16, little endian, ``[4, w]``: one text vector per facet, zeros where a facet has no phrases."""
    producer: str
    """Who made it: ``endpoint``, ``embedded`` or ``statistical``."""
    model_id: str = ""
    prompt_version: str = ""
    created_at: int = 0
    """Wall clock, ms; tells what it cost in time, never what counts."""


class Counting(NamedTuple):
    """The versions that count for U queries, those with a horizon strictly before the query."""

    vectors: Tensor
    """``[U, 3, 4, w]`` float32, oldest first, zero where there is none."""
    valid: Tensor
    """``[U, 3]`` bool, true first: which of them there are."""
    ts: Tensor
    """``[U]`` int64 horizon (ms) of the newest of them, -1 for none."""
    events: Tensor
    """``[U]`` int64 events up to that horizon, 0 for none."""


class Horizons(NamedTuple):
    """How far the newest profiles of n users reach."""

    ts: NDArray[np.int64]
    """``[n]`` ms, -1 where there is none."""
    events: NDArray[np.int64]
    """``[n]`` the user's events up to it, 0 where there is none."""


class _Words(msgspec.Struct, frozen=True, array_like=True):
    """What a version has besides numbers."""

    offset: int
    facets: tuple[tuple[str, ...], ...]
    producer: str
    model_id: str
    prompt_version: str
    created_at: int


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[list[_Words]])


class ProfileStore:
    """The last versions of each user's profile; users without one cost four bytes.

    A user with a profile has a slot of ``24 w + 48`` bytes, the words apart. Slot 0 is that of everybody else.
    """

    def __init__(self, rows: IdTable, width: int) -> None:
        """Of users in ``rows``, with text vectors of ``width`` numbers; with width 0 no profile fits."""
        self.width = width
        self.refused: Counter[str] = Counter()
        """Profiles not taken since the start, by reason, see :meth:`judge`; the shard does not count ``known`` ones."""
        self._ids = rows
        self._slots = Growable((), torch.int32)
        self._users: list[int] = [0]
        self._words: list[list[_Words]] = [[]]
        self._vectors = Growable((VERSIONS, len(FACETS), width), torch.float16)
        self._ts = Growable((VERSIONS,), torch.int64, fill=-1)
        self._events = Growable((VERSIONS,), torch.int64)
        self._grow(1)

    def __len__(self) -> int:
        """Users with a profile."""
        return len(self._users) - 1

    # -- writing ----------------------------------------------------------------------------------------------

    def judge(self, profile: UserProfile) -> str:
        """Why a profile cannot be taken, empty if it can: ``unfit`` (not four facets, vectors of another width or not
        finite, a horizon before 1970), ``stranger`` (no user of the graph), ``known`` (this very version is kept),
        ``stale`` (another as new is kept).
        """
        row = self._row(profile.user_id)
        return self._judge(profile, row, self._fitting(profile))

    def _judge(self, profile: UserProfile, row: int, vectors: NDArray[np.float16] | None) -> str:
        if vectors is None:
            return "unfit"
        if not row:
            return "stranger"
        slot = self._slot(row)
        if profile.ts > self._ts.rows[slot].max():
            return ""
        kept = (self._version(row, slot, place) for place in range(len(self._words[slot])))
        return "known" if profile in kept else "stale"

    def put(self, profile: UserProfile) -> bool:
        """Keep a version, and drop the oldest of four. False, and counted in :attr:`refused`, where :meth:`judge` has
        something against it.
        """
        row, vectors = self._row(profile.user_id), self._fitting(profile)
        if reason := self._judge(profile, row, vectors):
            self.refused[reason] += 1
            return False
        slot = self._slot(row) or self._take_slot(row)
        words = self._words[slot]
        if len(words) == VERSIONS:
            del words[0]
            for table in (self._vectors, self._ts, self._events):
                table.rows[slot, :-1] = table.rows[slot, 1:].copy()
        place = len(words)
        words.append(
            _Words(
                profile.offset,
                profile.facets,
                profile.producer,
                profile.model_id,
                profile.prompt_version,
                profile.created_at,
            )
        )
        self._vectors.rows[slot, place] = vectors
        self._ts.rows[slot, place], self._events.rows[slot, place] = profile.ts, profile.events
        return True

    def forget(self, row: int) -> None:
        """Drop all versions of one user row; the last slot moves to where they were."""
        slot = self._slot(row)
        if not slot:
            return
        last = len(self)
        for table in (self._vectors, self._ts, self._events):
            table.rows[slot] = table.rows[last]
            table.truncate(last)
        self._users[slot], self._words[slot] = self._users[last], self._words[last]
        self._slots.rows[self._users[slot]] = slot
        self._slots.rows[row] = 0
        del self._users[last], self._words[last]

    # -- reading ----------------------------------------------------------------------------------------------

    def counting(self, users: Tensor, ts: Tensor) -> Counting:
        """What counts for the user rows ``users [U]`` at ``ts [U]`` (int64 ms); unknown rows have no profile."""
        known = users.clamp(max=max(len(self._slots) - 1, 0))
        slots = self._slots.view[known].long() * (known == users) if len(self._slots) else torch.zeros_like(users)
        horizons = self._ts.view[slots]
        valid = (horizons >= 0) & (horizons < ts.unsqueeze(1))
        vectors = self._vectors.view[slots].float() * valid[:, :, None, None]
        newest = (valid.sum(1, keepdim=True) - 1).clamp(min=0)
        some = valid[:, 0]
        return Counting(
            vectors,
            valid,
            torch.where(some, horizons.gather(1, newest).squeeze(1), -1),
            torch.where(some, self._events.view[slots].gather(1, newest).squeeze(1), 0),
        )

    def horizons(self, users: NDArray[np.int64]) -> Horizons:
        """Of the newest profile of the user rows ``users [n]``, without a look at vectors; strangers have none."""
        slots, ts, events = self._slots.rows, self._ts.rows, self._events.rows
        if not len(slots):
            return Horizons(np.full(len(users), -1), np.zeros(len(users), np.int64))
        slot = slots[np.minimum(users, len(slots) - 1)] * (users < len(slots))
        newest = ts[slot].argmax(1)
        return Horizons(ts[slot, newest], events[slot, newest])

    def newest(self, row: int, before_ts: int | None = None) -> UserProfile | None:
        """One user's newest version, with its words; with ``before_ts`` (ms) the newest with an earlier horizon."""
        slot = self._slot(row)
        for place in reversed(range(len(self._words[slot]))):
            if before_ts is None or self._ts.rows[slot, place] < before_ts:
                return self._version(row, slot, place)
        return None

    def _version(self, row: int, slot: int, place: int) -> UserProfile:
        words = self._words[slot][place]
        return UserProfile(
            self._ids[row],
            int(self._ts.rows[slot, place]),
            words.offset,
            int(self._events.rows[slot, place]),
            words.facets,
            self._vectors.rows[slot, place].astype("<f2").tobytes(),
            words.producer,
            words.model_id,
            words.prompt_version,
            words.created_at,
        )

    # -- slots ------------------------------------------------------------------------------------------------

    def _row(self, user_id: str) -> int:
        return int(self._ids.find([user_id])[0])

    def _slot(self, row: int) -> int:
        return int(self._slots.rows[row]) if row < len(self._slots) else 0

    def _take_slot(self, row: int) -> int:
        slot = len(self._users)
        self._users.append(row)
        self._words.append([])
        self._grow(slot + 1)
        self._slots.grow(row + 1)
        self._slots.rows[row] = slot
        return slot

    def _grow(self, slots: int) -> None:
        for table in (self._vectors, self._ts, self._events):
            table.grow(slots)

    def _fitting(self, profile: UserProfile) -> NDArray[np.float16] | None:
        """``[4, w]`` vectors, None for a profile that does not fit."""
        sized = len(profile.vectors) == 2 * len(FACETS) * self.width > 0
        if not sized or len(profile.facets) != len(FACETS) or profile.ts < 0:
            return None
        vectors = np.frombuffer(profile.vectors, "<f2").reshape(len(FACETS), self.width)
        return vectors if np.isfinite(vectors).all() else None

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Slots in order, those of users without a profile left out; words as bytes of msgpack."""
        words = np.frombuffer(_encoder.encode(self._words), np.uint8).copy()
        return {
            "users": torch.tensor(self._users, dtype=torch.int64),
            "vectors": self._vectors.view,
            "ts": self._ts.view,
            "events": self._events.view,
            "words": torch.from_numpy(words),
        }

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._users = state["users"].tolist()
        self._words = _decoder.decode(state["words"].numpy().tobytes())
        for name, table in (("vectors", self._vectors), ("ts", self._ts), ("events", self._events)):
            table.replace(state[name])
        slots = torch.zeros(max(self._users) + 1, dtype=torch.int32)
        slots[state["users"]] = torch.arange(len(self._users), dtype=torch.int32)
        self._slots.replace(slots)
