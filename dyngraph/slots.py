"""Sparse rows of bounded width: the pairs worth remembering, evicted by priority, updated in bulk.

Two of our memories have this shape: which items a user touched (evict the least recent) and which items follow an
item (evict the rarest). Memory grows with rows, never with events. The width starts small and doubles for all rows
when some row is full, up to the capacity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.groups import occurrences
from dyngraph.growable import Growable
from dyngraph.state import State

FIRST_WIDTH = 8
_NEVER_EVICT = torch.finfo(torch.float64).max


class SlotTable:
    """``(row, key) → float64 columns``, at most ``capacity`` keys a row.

    Memory: width · (4 + 8 · columns) bytes per row. The first column is the eviction priority.

    >>> table = SlotTable(capacity=2, columns=("count",))
    >>> table.grow(2)
    >>> for key in (7, 8, 9):
    ...     slots = table.slots(torch.tensor([1]), torch.tensor([key]), torch.tensor([float(key)]))
    ...     table.column("count")[1, slots] = float(key)
    >>> sorted(table.keys[1].tolist())
    [8, 9]
    """

    def __init__(self, capacity: int, columns: tuple[str, ...]) -> None:
        self.capacity = capacity
        self._width = min(FIRST_WIDTH, capacity)
        self._keys = Growable((self._width,), torch.int32)
        self._columns = {name: Growable((self._width,), torch.float64) for name in columns}
        self._priority = columns[0]

    @property
    def keys(self) -> Tensor:
        """``[rows, width]`` int32, 0 where a slot is free."""
        return self._keys.view

    def column(self, name: str) -> Tensor:
        """``[rows, width]`` float64 values beside :attr:`keys`."""
        return self._columns[name].view

    def grow(self, length: int) -> None:
        """Make room for ``length`` rows."""
        self._keys.grow(length)
        for column in self._columns.values():
            column.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        self._keys.truncate(length)
        for column in self._columns.values():
            column.truncate(length)

    def slots(self, rows: Tensor, keys: Tensor, priority: Tensor) -> Tensor:
        """Slots ``[n]`` for *distinct* pairs ``(rows, keys)``: found, freshly taken (zeroed), or -1 for none.

        A new pair takes a free slot, else evicts the lowest-priority pair of its row that this batch does not touch.
        If a batch brings more new keys to one row than it can hold, those of the highest ``priority [n]`` win.
        """
        slot = self._find(rows, keys)
        new = (slot < 0).nonzero().squeeze(1)
        if new.numel():
            # The best newcomers choose first: order by row, then by falling priority.
            new = new[torch.argsort(priority[new], descending=True, stable=True)]
            place = occurrences(rows[new]).from_front
            self._make_room(rows[new], place)
            standing, inverse = self._standing(rows[new], rows, slot)
            order = torch.argsort(standing, dim=1, stable=True)
            chosen = order[inverse, place.clamp(max=self._width - 1)]
            free = standing[inverse, chosen] < _NEVER_EVICT
            fits = (place < self._width) & free
            new, taken = new[fits], chosen[fits]
            slot[new] = taken
            self._keys.view[rows[new], taken] = keys[new].to(torch.int32)
            for column in self._columns.values():
                column.view[rows[new], taken] = 0
        return slot

    def _find(self, rows: Tensor, keys: Tensor) -> Tensor:
        hit = self._keys.view[rows] == keys.to(torch.int32).unsqueeze(1)
        found, slot = hit.max(dim=1)
        return torch.where(found, slot, -1)

    def _make_room(self, rows: Tensor, place: Tensor) -> None:
        if self._width == self.capacity:
            return
        free = (self._keys.view[rows] == 0).sum(1)
        while self._width < self.capacity and bool((place >= free).any()):
            wider = min(2 * self._width, self.capacity)
            free = free + (wider - self._width)
            self._width = wider
            for column in (self._keys, *self._columns.values()):
                column.widen(wider)

    def _standing(self, rows: Tensor, touched_rows: Tensor, touched_slots: Tensor) -> tuple[Tensor, Tensor]:
        """Eviction keys ``[u, width]`` of the distinct rows (free slots first, slots found by this batch never).

        Also the place ``[n]`` of each of ``rows`` among the distinct ones.
        """
        unique, inverse = torch.unique(rows, return_inverse=True)
        standing = torch.where(self._keys.view[unique] == 0, -torch.inf, self._columns[self._priority].view[unique])
        found = touched_slots >= 0
        where = torch.searchsorted(unique, touched_rows[found]).clamp(max=unique.shape[0] - 1)
        ours = unique[where] == touched_rows[found]
        standing[where[ours], touched_slots[found][ours]] = _NEVER_EVICT
        return standing, inverse

    def forget_row(self, row: int) -> None:
        """Free all slots of one row."""
        self._keys.view[row] = 0
        for column in self._columns.values():
            column.view[row] = 0

    def state(self) -> State:
        """Keys and columns."""
        return {"keys": self._keys.view, **{name: column.view for name, column in self._columns.items()}}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._keys.replace(state["keys"])
        self._width = state["keys"].shape[1]
        for name, column in self._columns.items():
            column.replace(state[name])
