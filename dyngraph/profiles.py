"""User profiles as graph data: what an LLM, or counting, made of a user's history up to a horizon."""

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
from dyngraph.versions import VERSIONS, Horizons, Versions

__all__ = ["FACETS", "VERSIONS", "Counting", "Horizons", "ProfileStore", "UserProfile"]

FACETS = ("segment", "interests", "categories", "brands")
"""The four facets of a profile, in the order of every array that has one row per facet (DynLLM)."""


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


class _Words(msgspec.Struct, frozen=True, array_like=True):
    """What a version has besides numbers."""

    offset: int
    facets: tuple[tuple[str, ...], ...]
    producer: str
    model_id: str
    prompt_version: str
    created_at: int


class ProfileStore:
    """The last versions of each user's profile, see :class:`dyngraph.versions.Versions`; a user with a profile takes
    ``24 w + 48`` bytes, the words apart.
    """

    def __init__(self, rows: IdTable, width: int) -> None:
        """Of users in ``rows``, with text vectors of ``width`` numbers; with width 0 no profile fits."""
        self.width = width
        self.refused: Counter[str] = Counter()
        """Profiles not taken since the start, by reason, see :meth:`judge`; the shard does not count ``known`` ones."""
        self._ids = rows
        self._vectors = Growable((VERSIONS, len(FACETS), width), torch.float16)
        self._kept = Versions(_Words, {"vectors": self._vectors})

    def __len__(self) -> int:
        """Users with a profile."""
        return len(self._kept)

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
        if profile.ts > self._kept.newest_ts(row):
            return ""
        kept = (self._version(row, place) for place in range(len(self._kept.of(row))))
        return "known" if profile in kept else "stale"

    def put(self, profile: UserProfile) -> bool:
        """Keep a version, and drop the oldest of four. False, and counted in :attr:`refused`, where :meth:`judge` has
        something against it.
        """
        row, vectors = self._row(profile.user_id), self._fitting(profile)
        if reason := self._judge(profile, row, vectors):
            self.refused[reason] += 1
            return False
        words = _Words(
            profile.offset,
            profile.facets,
            profile.producer,
            profile.model_id,
            profile.prompt_version,
            profile.created_at,
        )
        slot, place = self._kept.add(row, profile.ts, profile.events, words)
        self._vectors.rows[slot, place] = vectors
        return True

    def forget(self, row: int) -> None:
        """Drop all versions of one user row."""
        self._kept.forget(row)

    # -- reading ----------------------------------------------------------------------------------------------

    def counting(self, users: Tensor, ts: Tensor) -> Counting:
        """What counts for the user rows ``users [U]`` at ``ts [U]`` (int64 ms); unknown rows have no profile."""
        found = self._kept.found(users, ts)
        vectors = self._vectors.view[found.slots].float() * found.valid[:, :, None, None]
        return Counting(vectors, found.valid, found.ts, found.events)

    def horizons(self, users: NDArray[np.int64]) -> Horizons:
        """Of the newest profile of the user rows ``users [n]``, without a look at vectors; strangers have none."""
        return self._kept.horizons(users)

    def newest(self, row: int, before_ts: int | None = None) -> UserProfile | None:
        """One user's newest version, with its words; with ``before_ts`` (ms) the newest with an earlier horizon."""
        place = self._kept.newest(row, before_ts)
        return None if place is None else self._version(row, place)

    def _version(self, row: int, place: int) -> UserProfile:
        words = self._kept.of(row)[place]
        ts, events = self._kept.moment(row, place)
        return UserProfile(
            self._ids[row],
            ts,
            words.offset,
            events,
            words.facets,
            self._vectors.rows[self._kept.slot(row), place].astype("<f2").tobytes(),
            words.producer,
            words.model_id,
            words.prompt_version,
            words.created_at,
        )

    def _row(self, user_id: str) -> int:
        return int(self._ids.find([user_id])[0])

    def _fitting(self, profile: UserProfile) -> NDArray[np.float16] | None:
        """``[4, w]`` vectors, None for a profile that does not fit."""
        sized = len(profile.vectors) == 2 * len(FACETS) * self.width > 0
        if not sized or len(profile.facets) != len(FACETS) or profile.ts < 0:
            return None
        vectors = np.frombuffer(profile.vectors, "<f2").reshape(len(FACETS), self.width)
        return vectors if np.isfinite(vectors).all() else None

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Slots in order, those of users without a profile left out."""
        return self._kept.state()

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._kept.load_state(state)
