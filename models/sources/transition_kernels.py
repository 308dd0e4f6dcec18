"""Compiled loops of :mod:`models.sources.transitions`.

Pair values ``[rows, width, 2]`` are co-occurrence and succession.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dyngraph.slots import take_slot

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Keys = NDArray[np.int32]
Values = NDArray[np.float32]
Counts = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

KINDS = 6
NOW, MID, LONG, CHAIN, LEAD = 0.5, 0.85, 0.97, 0.7, 0.85
"""Weights per place of the recent items; see :class:`models.sources.transitions.TransitionSource`."""
_FLOOR = 0.003
_SPAN = 5.8
"""-ln of :data:`_FLOOR`, so that the log form of a share lies in [0, 1]."""


@njit(cache=True)
def evidence(
    recent: Ints, keys: Keys, pairs: Counts, count: Floats, audience: Floats, window: int
) -> tuple[Ints, Ints, Values]:
    """Partners of each query's ``recent [U, W]`` items: run borders ``[U + 1]``, rows ``[M]``, values ``[M, 6]``."""
    queries, reach = recent.shape
    items, width = count.shape[0], keys.shape[1]
    root = 1.0 / np.sqrt(np.maximum(audience, 1.0))
    # One column apart: items beyond the window touch no other, and so little memory stays near.
    sums, far_sums = np.zeros((items, KINDS)), np.zeros(items)
    met = np.zeros(items, np.int32)
    start = np.zeros(queries + 1, np.int64)
    rows, values = np.zeros(width, np.int64), np.zeros((width, KINDS), np.float32)
    end = 0
    for q in range(queries):
        begin = end
        for p in range(reach):
            i = recent[q, p]
            if i == 0:
                break
            if end + width > len(rows):
                rows, values = _longer(rows, values, end, 2 * (end + width))
            partners, counts = keys[i], pairs[i]
            now, mid, far = NOW**p * root[i], MID**p * root[i], LONG**p * root[i]
            chain, lead = CHAIN**p / max(count[i], 1.0), LEAD**p * root[i] * root[i]
            used = 0
            while used < width and partners[used] != 0:
                j = partners[used]
                rows[end] = j
                end += met[j] != q + 1
                met[j] = q + 1
                far_sums[j] += far * counts[used, 0]
                used += 1
            if p >= window:
                continue
            for s in range(used):
                both, after, own = counts[s, 0], counts[s, 1], sums[partners[s]]
                own[0] += now * both
                own[1] += mid * both
                own[4] += chain * after
                own[5] += lead * both
                if p == 0:
                    own[3] += chain * after
        for at in range(begin, end):
            j = rows[at]
            for kind in range(KINDS):
                values[at, kind] = sums[j, kind] * root[j] if kind < 2 else sums[j, kind]
                sums[j, kind] = 0
            values[at, 2] = far_sums[j] * root[j]
            far_sums[j] = 0
        start[q + 1] = end
    return start, rows[:end], values[:end]


@njit(cache=True)
def _longer(rows: Ints, values: Values, used: int, room: int) -> tuple[Ints, Values]:
    more, larger = np.zeros(room, np.int64), np.zeros((room, KINDS), np.float32)
    more[:used], larger[:used] = rows[:used], values[:used]
    return more, larger


@njit(cache=True)
def best(start: Ints, items: Ints, values: Values, kinds: Ints, most: Ints) -> Ints:
    """The ``most [k]`` items with the most evidence above 0 of each of ``kinds [k]``: rows ``[U, sum(most)]``.

    Among equals the first ones are taken.
    """
    queries = start.shape[0] - 1
    made = np.zeros((queries, most.sum()), np.int64)
    heap = np.zeros(most.max(), np.int64)
    for q in range(queries):
        column = 0
        for number in range(kinds.shape[0]):
            kind, room = kinds[number], most[number]
            size = 0
            for at in range(start[q], start[q + 1]):
                if values[at, kind] <= 0:
                    continue
                if size < room:
                    heap[size] = at
                    size += 1
                    if size == room:
                        for root in range(room // 2 - 1, -1, -1):
                            _sift(heap, size, root, values, kind)
                elif values[at, kind] > values[heap[0], kind]:
                    heap[0] = at
                    _sift(heap, size, 0, values, kind)
            for taken in range(size):
                made[q, column + taken] = items[heap[taken]]
            column += room
    return made


@njit(cache=True)
def _sift(heap: Ints, size: int, root: int, values: Values, kind: int) -> None:
    """Let the entry at ``root`` sink until the heap has its smallest value on top; of equals, the last is smallest."""
    while True:
        low = root
        for child in (2 * root + 1, 2 * root + 2):
            if child < size:
                one, other = values[heap[child], kind], values[heap[low], kind]
                if one < other or (one == other and heap[child] > heap[low]):
                    low = child
        if low == root:
            return
        heap[root], heap[low] = heap[low], heap[root]
        root = low


@njit(cache=True)
def describe(start: Ints, items: Ints, values: Values, rows: Ints, length: int) -> Values:
    """Features ``[U, C, 14]`` of candidates ``rows [U, C]`` among ``length`` item rows."""
    queries, width = rows.shape
    made = np.zeros((queries, width, 2 * KINDS + 2), np.float32)
    place = np.zeros(length, np.int64)
    top = np.zeros(KINDS)
    for q in range(queries):
        low, high = start[q], start[q + 1]
        top[:] = 1e-9
        for at in range(low, high):
            place[items[at]] = at + 1
            for kind in range(KINDS):
                top[kind] = max(top[kind], values[at, kind])
        for c in range(width):
            at = place[rows[q, c]] - 1
            if at < low or rows[q, c] == 0:
                continue
            for kind in range(KINDS):
                share = values[at, kind] / top[kind]
                if share > 0:
                    made[q, c, 2 * kind] = share
                    made[q, c, 2 * kind + 1] = min(max(1 + np.log(_FLOOR + share) / _SPAN, 0.0), 1.0)
            made[q, c, 2 * KINDS] = np.sqrt(values[at, 1] / (1 + values[at, 1]))
            made[q, c, 2 * KINDS + 1] = np.sqrt(values[at, 4] / (1 + values[at, 4]))
    return made


@njit(cache=True)
def count(
    items: Ints, first: Flags, recent: Ints, counts: Floats, audience: Floats
) -> tuple[Ints, Ints, Floats, Floats]:
    """Count events ``items [n]`` in place; the pairs to add: rows, partners, co-occurrence, succession ``[m]``."""
    n, window = recent.shape
    rows, partners = np.zeros(2 * n * window, np.int64), np.zeros(2 * n * window, np.int64)
    together, follows = np.zeros(2 * n * window), np.zeros(2 * n * window)
    m = 0
    for e in range(n):
        j = items[e]
        counts[j] += 1
        if first[e]:
            audience[j] += 1
        for p in range(window):
            i = recent[e, p]
            if i == 0:
                break
            if i == j or not (first[e] or p == 0):
                continue
            rows[m], partners[m] = i, j
            together[m] = 1.0 if first[e] else 0.0
            follows[m] = 1.0 if p == 0 else 0.0
            m += 1
            if first[e]:
                rows[m], partners[m], together[m] = j, i, 1.0
                m += 1
    return rows[:m], partners[:m], together[:m], follows[:m]


@njit(cache=True)
def add(
    rows: Ints,
    partners: Ints,
    together: Floats,
    follows: Floats,
    done: int,
    keys: Keys,
    pairs: Counts,
    may_widen: bool,
) -> int:
    """Add pairs from place ``done`` on; how many are done, fewer than all if the table must be widened first."""
    for m in range(done, rows.shape[0]):
        s = take_slot(keys, pairs, rows[m], partners[m], may_widen)
        if s < 0:
            return m
        pairs[rows[m], s, 0] += together[m]
        pairs[rows[m], s, 1] += follows[m]
    return len(rows)


@njit(cache=True)
def witness(
    recent: Ints, items: Ints, succession: Flags, keys: Keys, pairs: Counts, audience: Floats, window: int
) -> Ints:
    """For each of ``items [n]`` the recent item (of ``recent [n, W]``) that says most for it, 0 for none."""
    n, reach = recent.shape
    named = np.zeros(n, np.int64)
    for e in range(n):
        most = 0.0
        for p in range(min(window, reach)):
            i = recent[e, p]
            if i == 0:
                break
            for s in range(keys.shape[1]):
                if keys[i, s] != items[e]:
                    continue
                if succession[e]:
                    share = CHAIN**p * pairs[i, s, 1]
                else:
                    share = MID**p * pairs[i, s, 0] / np.sqrt(max(audience[i], 1.0))
                if share > most:
                    most, named[e] = share, i
    return named
