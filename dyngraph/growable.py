"""Tensors that grow by rows, because users and items appear at any time and nothing may be sized in advance.

Capacity doubles, so appending n rows costs O(n) in total; rows beyond ``len`` hold the fill value and are never
visible. Row 0 is the null node everywhere in this room.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.arrays import NUMPY, Array, Arrays

FIRST_CAPACITY = 64


class Growable:
    """A tensor ``[len, *shape]`` whose first dimension grows; on a GPU if ``device`` says so.

    >>> table = Growable((2,), torch.float32)
    >>> table.grow(3)
    >>> table.view.shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        fill: float = 0,
        arrays: Arrays = NUMPY,
        device: torch.device | str = "cpu",
    ) -> None:
        self.fill = fill
        self._arrays = arrays
        self._len = 0
        self._data = torch.full((FIRST_CAPACITY, *shape), fill, dtype=dtype, device=device)
        self._show()

    def __len__(self) -> int:
        return self._len

    def _show(self) -> None:
        self.view: Tensor = self._data[: self._len]
        """The live rows ``[len, *shape]``; writes go through, growth invalidates it. Kept, because it is asked for
        hundreds of times a step."""
        self.rows: Array = self._arrays.of(self.view)
        """The same memory as an array of the graph's kind."""

    def grow(self, length: int) -> None:
        """Make at least ``length`` rows live; new ones hold the fill value."""
        if length > self._data.shape[0]:
            capacity = max(length, 2 * self._data.shape[0])
            data = self._data.new_full((capacity, *self._data.shape[1:]), self.fill)
            data[: self._len] = self._data[: self._len]
            self._data = data
        if length > self._len:
            self._len = length
            self._show()

    def truncate(self, length: int) -> None:
        """Forget the rows from ``length`` on (used to undo growth of a step that failed)."""
        if length < self._len:
            self._data[length : self._len] = self.fill
            self._len = length
            self._show()

    def widen(self, width: int) -> None:
        """Grow the second dimension to ``width`` columns; new ones hold the fill value."""
        data = self._data.new_full((self._data.shape[0], width, *self._data.shape[2:]), self.fill)
        data[:, : self._data.shape[1]] = self._data
        self._data = data
        self._show()

    def keep(self, columns: Tensor) -> None:
        """Keep of each live row only the entries ``columns [len, width]`` of the second dimension, in that order."""
        kept = self._data.new_full((self._data.shape[0], columns.shape[1], *self._data.shape[2:]), self.fill)
        kept[: self._len] = self.view[torch.arange(self._len).unsqueeze(1), columns]
        self._data = kept
        self._show()

    def replace(self, rows: Tensor) -> None:
        """Take ``rows`` as the whole live content (used when a snapshot is loaded)."""
        self._len = rows.shape[0]
        live = rows if self._len else self._data.new_full((FIRST_CAPACITY, *rows.shape[1:]), self.fill)
        self._data = live.to(self._data.device, copy=True)
        self._show()
