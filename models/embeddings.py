"""Learned node features that grow with the graph.

A torch optimiser cannot follow a table that grows, so these rows carry their own row-wise Adagrad state. Only rows
that received a gradient are written; all others stay bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.arrays import NUMPY, Array, Arrays
from dyngraph.growable import Growable
from dyngraph.state import State

_SPREAD = 0.1
"""Standard deviation of a row's start."""


class GrowableEmbedding:
    """Rows ``[nodes, dim]``; a row's start depends on its number and the seed only, not on when it appeared.

    The update is Adagrad with one accumulator per row (Gupta et al. 2014, as used for embedding tables at scale):
    ``a ← a + mean(g²)``, ``x ← x − lr · g / √a``.
    """

    def __init__(
        self, dim: int, lr: float, seed: int, arrays: Arrays = NUMPY, device: torch.device | str = "cpu"
    ) -> None:
        self.lr, self._seed = lr, seed
        self._rows = Growable((dim,), torch.float32, 0, arrays, device)
        self._accumulated = Growable((), torch.float32, 1e-4, arrays, device)
        self.grow(1)
        self._rows.view[0] = 0

    def grow(self, length: int) -> None:
        """Make room for ``length`` rows."""
        start = len(self._rows)
        if length > start:
            self._rows.grow(length)
            self._accumulated.grow(length)
            self._rows.view[start:] = self._first(torch.arange(start, length)).to(self._rows.view.device)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        self._rows.truncate(length)
        self._accumulated.truncate(length)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Array:
        """All rows ``[nodes, dim]`` as an array of the graph's kind."""
        return self._rows.rows

    @property
    def view(self) -> Tensor:
        """The same as a tensor."""
        return self._rows.view

    def __getitem__(self, rows: Tensor) -> Tensor:
        """A copy ``[..., dim]`` of rows."""
        return self._rows.view[rows]

    def replace(self, rows: Tensor) -> None:
        """Take ``rows [n, dim]`` for the first n rows; the others keep what they have."""
        self._rows.view[: rows.shape[0]] = rows.to(self._rows.view)

    def descend(self, rows: Tensor, gradient: Tensor) -> None:
        """One Adagrad step on distinct ``rows [n]`` with ``gradient [n, dim]``."""
        accumulated = self._accumulated.view[rows] + gradient.square().mean(1)
        self._accumulated.view[rows] = accumulated
        self._rows.view[rows] -= self.lr * gradient / accumulated.sqrt().unsqueeze(1)

    def forget(self, row: int) -> None:
        """Return one row to its start."""
        self._rows.view[row] = self._first(torch.tensor([row]))[0]
        self._accumulated.view[row] = self._accumulated.fill

    def _first(self, rows: Tensor) -> Tensor:
        # A hash of the row number instead of a generator's stream: a row starts the same in any order of arrival.
        columns = torch.arange(1, self._rows.view.shape[1] + 1, dtype=torch.float64)
        counter = columns * 12.9898 + rows.unsqueeze(1) * 78.233 + self._seed * 37.719
        uniform = torch.frac(torch.sin(counter) * 43758.5453).abs()
        return ((uniform - 0.5) * (_SPREAD * 12**0.5)).to(torch.float32)

    def state(self) -> State:
        """Rows and accumulators."""
        return {"rows": self._rows.view, "accumulated": self._accumulated.view}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._rows.replace(state["rows"])
        self._accumulated.replace(state["accumulated"])
