"""Sparse rows of bounded width: the pairs worth remembering, evicted by priority, read and written by compiled loops.

Two of our memories have this shape: which items a user touched (evict the least recent) and which items follow an
item (evict the rarest). Memory grows with rows, never with events. The width starts small and doubles for all rows
when some row is full, up to the capacity; it halves where so many rows have come that the table would not fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.growable import Growable
from dyngraph.state import State

FIRST_WIDTH = 8

Keys = NDArray[np.int32]
Values = NDArray[np.floating[Any]]


@njit(cache=True)
def find_slot(keys: Keys, row: int, key: int) -> int:
    """Where ``key`` stands in ``keys [rows, width]``, -1 if it does not; key 0 never does."""
    for slot in range(keys.shape[1]):
        found = keys[row, slot]
        if found == 0:
            return -1
        if found == key:
            return slot
    return -1


@njit(cache=True)
def take_slot(keys: Keys, values: Values, row: int, key: int, may_widen: bool) -> int:
    """The slot of ``key`` (not 0) in ``keys [rows, width]``, freshly taken and zeroed if it had none.

    A full row gives -1 where the table may still be widened: widen it and ask again. Else the pair of the lowest value
    in column 0 is evicted; the lowest slot, if several are as low.
    """
    width = keys.shape[1]
    slot = 0
    while slot < width and keys[row, slot] != 0:
        if keys[row, slot] == key:
            return slot
        slot += 1
    if slot == width:
        if may_widen:
            return -1
        slot = 0
        for other in range(1, width):
            if values[row, other, 0] < values[row, slot, 0]:
                slot = other
    keys[row, slot] = key
    for column in range(values.shape[2]):
        values[row, slot, column] = 0
    return slot


class SlotTable:
    """``(row, key) → columns`` of ``dtype``, at most ``capacity`` keys a row, none of them 0.

    Memory: width · (4 + size of dtype · columns) bytes per row. The first column is the eviction priority. Slots are
    taken from the left and freed row by row, so the free slots of a row are always its last ones. ``most_bytes`` bounds
    the width: the table does not widen beyond what that many bytes hold of its rows, and :meth:`fit` narrows it.

    >>> table = SlotTable(capacity=2, columns=("count",))
    >>> table.grow(2)
    >>> for key in (7, 8, 9):
    ...     slot = take_slot(table.keys_array, table.values_array, 1, key, table.may_widen)
    ...     table.column("count")[1, slot] = float(key)
    >>> sorted(table.keys[1].tolist())
    [8, 9]
    """

    def __init__(
        self,
        capacity: int,
        columns: tuple[str, ...],
        most_bytes: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.capacity = capacity
        self._most_bytes = most_bytes
        self._places = {name: place for place, name in enumerate(columns)}
        width = min(FIRST_WIDTH, capacity)
        self._keys = Growable((width,), torch.int32)
        self._values = Growable((width, len(columns)), dtype)

    @property
    def keys(self) -> Tensor:
        """``[rows, width]`` int32, 0 where a slot is free."""
        return self._keys.view

    @property
    def keys_array(self) -> Keys:
        """The memory of :attr:`keys`; growing and widening leave it behind."""
        rows: Keys = self._keys.rows
        return rows

    @property
    def values_array(self) -> Values:
        """``[rows, width, columns]`` values beside :attr:`keys_array`; growing and widening leave it behind."""
        rows: Values = self._values.rows
        return rows

    @property
    def width(self) -> int:
        """Slots per row by now."""
        return self._keys.view.shape[1]

    @property
    def widest(self) -> int:
        """Slots per row up to which the table may widen, were it to grow by no more rows."""
        width = self.width
        while (wider := self._wider(width)) > width:
            width = wider
        return width

    @property
    def may_widen(self) -> bool:
        """Whether :meth:`widen` would do anything."""
        return self._wider(self.width) > self.width

    def column(self, name: str) -> Tensor:
        """``[rows, width]`` values beside :attr:`keys`; writes go through."""
        return self._values.view[..., self._places[name]]

    def grow(self, length: int) -> None:
        """Make room for ``length`` rows."""
        self._keys.grow(length)
        self._values.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        self._keys.truncate(length)
        self._values.truncate(length)

    def widen(self) -> bool:
        """Double the slots of all rows, up to the capacity; false, and nothing done, where that may not be."""
        width, wider = self.width, self._wider(self.width)
        if wider > width:
            self._keys.widen(wider)
            self._values.widen(wider)
        return wider > width

    def fit(self) -> None:
        """Halve the slots of all rows while they do not fit into ``most_bytes``, but to no fewer than
        :data:`FIRST_WIDTH`. Each row keeps its pairs of highest priority; among equals those in higher slots.
        """
        while self.width > FIRST_WIDTH and not self._fits(self.width):
            priority = np.where(self.keys_array == 0, -np.inf, self.values_array[..., 0])
            best = np.argsort(priority, axis=1, kind="stable")[:, -max(self.width // 2, FIRST_WIDTH) :]
            kept = torch.from_numpy(np.sort(best, axis=1))
            self._keys.keep(kept)
            self._values.keep(kept)

    def _wider(self, width: int) -> int:
        wider = min(2 * width, self.capacity)
        return wider if self._fits(wider) else width

    def _fits(self, width: int) -> bool:
        # Counted by rows, not by what is allocated for them, so that a restored table widens when the first one did.
        size = len(self._keys) * width * (4 + self._values.view.element_size() * len(self._places))
        return self._most_bytes is None or size <= self._most_bytes

    def forget_row(self, row: int) -> None:
        """Free all slots of one row."""
        self._keys.view[row] = 0
        self._values.view[row] = 0

    def state(self) -> State:
        """Keys and columns."""
        return {"keys": self._keys.view, **{name: self.column(name) for name in self._places}}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._keys.replace(state["keys"])
        self._values.replace(torch.stack([state[name] for name in self._places], dim=2))
