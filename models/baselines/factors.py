"""Rows of numbers that grow, as users and items appear, and start from drawn values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.baselines.growing import grown

Draw = Callable[[tuple[int, ...]], NDArray[np.float64]]


class Factors:
    """``[rows, *shape]`` of ``dtype``; a new row is zero, or what ``draw`` gives for it.

    Rows are drawn one after the other as they become live, so that their values depend on the seed and their number
    alone, never on how far the array was grown at once.

    >>> factors = Factors((2,))
    >>> factors.grow(3)
    >>> factors.rows.shape
    (3, 2)
    """

    def __init__(
        self, shape: tuple[int, ...] = (), draw: Draw | None = None, dtype: type[np.floating] = np.float32
    ) -> None:
        self._draw = draw
        self._data = np.zeros((1, *shape), dtype)
        self.rows = self._data[:0]
        """The live rows, at first the null row alone; writes go through, growth invalidates it."""
        self.grow(1)

    def grow(self, length: int) -> None:
        """Make at least ``length`` rows live."""
        live = len(self.rows)
        if length > live:
            self._data = grown(self._data, length)
            self.rows = self._data[:length]
            if self._draw is not None:
                self.rows[live:] = self._draw(self.rows[live:].shape)
