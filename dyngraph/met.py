"""Which items each user has met, and in which ways: exact, for good, and small enough for that.

A bounded history forgets, and would offer again what was bought long ago. Here a pair of user and item takes ten bytes,
however many events it has.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.earlier import Earlier
from dyngraph.events import EventType
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Sets
from dyngraph.state import State

Keys = NDArray[np.int64]
Kinds = NDArray[np.int16]

EVERY_KIND = -1
"""The kinds of all event types."""


def kinds_of(types: Iterable[EventType]) -> int:
    """The bits that stand for event types.

    >>> kinds_of([EventType.VIEW, EventType.PURCHASE])
    18
    """
    return sum(1 << kind for kind in set(types))


class MetItems:
    """Pairs ``user << 32 | item`` with the kinds of their events, in sorted runs.

    A batch begins a run; a run is merged with the one before it while that is less than twice as long. So an event
    costs O(log pairs) over time, and there are O(log pairs) runs to look into. What was met stays met: a removal or a
    return is one more kind of event and takes none back.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, Kinds]] = []

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Take in a batch that is being committed."""
        keys = (batch.users << 32 | batch.items).numpy()
        kinds = np.left_shift(1, batch.types.numpy()).astype(np.int16)
        self._runs.append(_merged(keys, kinds))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            self._merge(2)

    def kinds(self, users: Tensor, items: Tensor) -> Tensor:
        """``[U, C]`` int16 bits of the events of ``users [U]`` with ``items [U, C]`` (rows), 0 where there was none."""
        found = np.zeros(tuple(items.shape), np.int16)
        for keys, kinds in self._runs:
            _look_up(keys, kinds, users.numpy(), items.numpy(), found)
        return torch.from_numpy(found)

    def seen(self, users: Tensor, earlier: Earlier | None = None) -> Sets:
        """What each of ``users [U]`` has met in whichever way, ``earlier`` in the same batch too."""
        earlier = earlier or Earlier.none(len(users))
        # A pair stands in several runs until they are merged: gathered run by run first, made distinct after that.
        runs = [(keys, *_slices(keys, users)) for keys, _ in self._runs]
        lengths = earlier.stop - earlier.start + sum(high - low for _, low, high in runs)
        start = np.r_[0, np.cumsum(lengths)]
        items, end = np.zeros(start[-1], np.int64), start[:-1].copy()
        for keys, low, high in runs:
            _gather(keys, low, high, items, end)
        _gather(earlier.items, earlier.start, earlier.stop, items, end)
        return Sets(*_distinct(start, items))

    def most(self, users: Tensor) -> int:
        """No one of ``users [U]`` has met more items than this."""
        counts = np.zeros(len(users), np.int64)
        for keys, _ in self._runs:
            low, high = _slices(keys, users)
            counts += high - low
        return int(counts.max(initial=0))

    def forget_user(self, user: int) -> None:
        """Drop one user's pairs."""
        kept = [(keys >> 32 != user, keys, kinds) for keys, kinds in self._runs]
        self._runs = [(keys[keep], kinds[keep]) for keep, keys, kinds in kept if keep.any()]

    def state(self) -> State:
        """All pairs as one run, whatever runs they stand in."""
        if len(self._runs) > 1:
            self._merge(len(self._runs))
        keys, kinds = self._runs[0] if self._runs else (np.zeros(0, np.int64), np.zeros(0, np.int16))
        return {"keys": torch.from_numpy(keys), "kinds": torch.from_numpy(kinds)}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._runs = [(state["keys"].numpy().copy(), state["kinds"].numpy().copy())] if len(state["keys"]) else []

    def _merge(self, last: int) -> None:
        """Make the ``last`` runs one."""
        keys, kinds = zip(*self._runs[-last:], strict=True)
        self._runs[-last:] = [_merged(np.concatenate(keys), np.concatenate(kinds))]


def _merged(keys: Keys, kinds: Kinds) -> tuple[Keys, Kinds]:
    """Distinct keys in order, each with all its kinds."""
    order = np.argsort(keys, kind="stable")
    keys, kinds = keys[order], kinds[order]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return keys[first], np.bitwise_or.reduceat(kinds, first)


def _slices(keys: Keys, users: Tensor) -> tuple[Keys, Keys]:
    """Where each user's pairs begin and end in a run."""
    first = users.numpy() << 32
    return np.searchsorted(keys, first), np.searchsorted(keys, first + (1 << 32))


@njit(cache=True)
def _gather(keys: Keys, low: Keys, high: Keys, items: Keys, end: Keys) -> None:
    """Write the items of ``keys[low[u]:high[u]]`` behind ``end[u]``, which moves on."""
    for u in range(low.shape[0]):
        for at in range(low[u], high[u]):
            items[end[u]] = keys[at] & 0xFFFFFFFF
            end[u] += 1


@njit(cache=True)
def _distinct(start: Keys, items: Keys) -> tuple[Keys, Keys]:
    """Each set once, and without row 0."""
    stamp = np.zeros(items.max() + 1 if items.size else 1, np.int64)
    kept, made, end = np.zeros_like(start), np.zeros_like(items), 0
    for u in range(start.shape[0] - 1):
        for at in range(start[u], start[u + 1]):
            if items[at] > 0 and stamp[items[at]] != u + 1:
                stamp[items[at]] = u + 1
                made[end] = items[at]
                end += 1
        kept[u + 1] = end
    return kept, made[:end]


@njit(cache=True)
def _look_up(keys: Keys, kinds: Kinds, users: Keys, items: Keys, found: Kinds) -> None:
    """Add to ``found [U, C]`` what one run knows; a binary search finds the user, a short one each item."""
    for u in range(users.shape[0]):
        start = np.searchsorted(keys, users[u] << 32)
        stop = start + np.searchsorted(keys[start:], (users[u] + 1) << 32)
        if start == stop:
            continue
        own = keys[start:stop]
        for c in range(items.shape[1]):
            key = users[u] << 32 | items[u, c]
            at = np.searchsorted(own, key)
            if at < own.shape[0] and own[at] == key:
                found[u, c] |= kinds[start + at]
