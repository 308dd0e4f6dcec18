"""Arrays whose first axis grows by doubling, as users and items appear."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], length: int) -> NDArray[Scalar]:
    """``array`` itself if it has at least ``length`` rows, else a copy with zeros appended and room to spare.

    >>> grown(np.ones(2), 3).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    if length <= len(array):
        return array
    larger = np.zeros((max(length, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
