"""Vectors by row that are learned, grow, and are touched a few at a time: users, items, attribute values."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.growable import Growable
from dyngraph.state import State


class LearnedRows:
    """``[n, d]`` vectors under Adagrad with one accumulator per row (so a row pays for its own gradients only)."""

    def __init__(self, width: int, lr: float) -> None:
        """New rows are zero."""
        self.width, self.lr = width, lr
        self._vectors = Growable((width,), torch.float32)
        self._seen = Growable((), torch.float32)
        self.grow(1)

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def view(self) -> Tensor:
        """``[n, d]``"""
        return self._vectors.view

    def grow(self, length: int) -> None:
        """Make room for ``length`` rows."""
        self._vectors.grow(length)
        self._seen.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth."""
        self._vectors.truncate(length)
        self._seen.truncate(length)

    def learn(self, rows: Tensor, gradient: Tensor) -> None:
        """Descend along ``gradient [m, d]`` of ``rows [m]``, which may repeat; row 0 stays zero."""
        unique, place = torch.unique(rows, return_inverse=True)
        summed = torch.zeros(len(unique), self.width).index_add_(0, place, gradient)
        summed[unique == 0] = 0
        self._seen.view[unique] += summed.square().mean(1)
        scale = self.lr / (self._seen.view[unique].sqrt() + 1e-6)
        self._vectors.view[unique] -= scale.unsqueeze(1) * summed

    def forget(self, row: int) -> None:
        """Return one row to zero."""
        self._vectors.view[row] = 0
        self._seen.view[row] = 0

    def state(self) -> State:
        """Vectors and accumulators."""
        return {"vectors": self._vectors.view, "seen": self._seen.view}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._vectors.replace(state["vectors"])
        self._seen.replace(state["seen"])
