"""A sparse table of numbers for pairs of rows, which grows in both directions and is read row by row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.baselines.growing import grown

FIRST_BLOCK = 4
"""Places in a row's first block."""


class Blocks(NamedTuple):
    """Row ``r`` is the places ``starts[r]`` to ``starts[r] + lengths[r]`` of the pool; rows beyond are empty."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float64]


class PairTable:
    """``value(row, column)`` for pairs that occurred. Rows and columns count from 0; a new pair begins at ``empty``.

    A row's columns lie sorted in one block of a common pool, so that reading a row is a walk over contiguous memory;
    a full block moves to one twice as large. 12 bytes per place; at most about four places per pair.

    >>> table = PairTable()
    >>> table.count(np.array([7, 7, 2]), np.array([3, 1, 7]))
    >>> columns, values = table.row(7)
    >>> columns.tolist(), values.tolist()
    ([1, 3], [1.0, 1.0])
    """

    def __init__(self, empty: float = 0.0) -> None:
        self._empty = empty
        self._starts = np.zeros(256, dtype=np.int64)
        self._lengths = np.zeros(256, dtype=np.int64)
        self._sizes = np.zeros(256, dtype=np.int64)
        self._columns = np.zeros(1024, dtype=np.int32)
        self.values = np.zeros(1024)
        """The pool; write to it at :meth:`slots`, and take those first, because the pool may be another afterwards."""
        self._used = 0

    def count(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        """Add 1 to each pair ``[n]``."""
        slots = self.slots(rows, columns)
        np.add.at(self.values, slots, 1.0)

    def slots(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places ``[n]`` of pairs in :attr:`values`, made where a pair is new. Valid until the next call;
        a pair given twice has the same place twice.
        """
        length = int(rows.max(initial=-1)) + 1
        self._starts, self._lengths, self._sizes = (
            grown(array, length) for array in (self._starts, self._lengths, self._sizes)
        )
        done = 0
        while True:
            blocks = (self._starts, self._lengths, self._sizes, self._columns, self.values)
            done, self._used = _insert(*blocks, self._used, self._empty, rows, columns, done)
            if done == len(rows):
                break
            room = 2 * len(self.values)
            self._columns, self.values = grown(self._columns, room), grown(self.values, room)
        places = np.empty(len(rows), dtype=np.int64)
        _find(self._starts, self._lengths, self._columns, rows, columns, places)
        return places

    @property
    def blocks(self) -> Blocks:
        """The arrays themselves, for compiled code that reads many rows at once."""
        return Blocks(self._starts, self._lengths, self._columns, self.values)

    def row(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Columns ``[m]``, ascending, and values ``[m]`` of a row. Views, valid until the next :meth:`slots`."""
        if row >= len(self._starts):
            return self._columns[:0], self.values[:0]
        block = slice(int(self._starts[row]), int(self._starts[row] + self._lengths[row]))
        return self._columns[block], self.values[block]


@numba.njit(cache=True)
def _place(columns: Any, start: int, length: int, column: int) -> int:
    """First place in the sorted block whose column is not below ``column``."""
    low, high = start, start + length
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)
def _insert(
    starts: Any,
    lengths: Any,
    sizes: Any,
    pool: Any,
    values: Any,
    used: int,
    empty: float,
    rows: Any,
    columns: Any,
    done: int,
) -> tuple[int, int]:
    """Insert pairs from number ``done`` on; stops early where the pool has no room. Returns how far it came, and the
    used length of the pool."""
    while done < len(rows):
        row, column = rows[done], columns[done]
        start, length = starts[row], lengths[row]
        place = _place(pool, start, length, column)
        if place < start + length and pool[place] == column:
            done += 1
            continue
        if length == sizes[row]:
            size = max(2 * length, FIRST_BLOCK)
            if used + size > len(pool):
                break
            for offset in range(length):
                pool[used + offset] = pool[start + offset]
                values[used + offset] = values[start + offset]
            place += used - start
            start = starts[row] = used
            sizes[row] = size
            used += size
        for later in range(start + length, place, -1):
            pool[later] = pool[later - 1]
            values[later] = values[later - 1]
        pool[place] = column
        values[place] = empty
        lengths[row] = length + 1
        done += 1
    return done, used


@numba.njit(cache=True)
def _find(starts: Any, lengths: Any, pool: Any, rows: Any, columns: Any, places: Any) -> None:
    for number in range(len(rows)):
        places[number] = _place(pool, starts[rows[number]], lengths[rows[number]], columns[number])
