"""Are the relation slots used, or has the posterior fallen onto a few of them?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 2.0
"""Slots in effective use below which a posterior tells relations apart no more."""


def effective_slots(usage: Sequence[float]) -> float:
    """``exp(entropy)`` of a histogram of use (counts or shares): R when all are used alike, 1 when one takes all.

    Raises ValueError for a histogram without any count, or with a negative one.

    >>> round(effective_slots([0.5, 0.5, 0.0]), 3), effective_slots([7, 0])
    (2.0, 1.0)
    """
    counts = np.asarray(usage, dtype=np.float64)
    if not counts.sum() > 0 or (counts < 0).any():
        raise ValueError(f"usage {list(usage)} is no histogram; give counts or shares, at least one above 0")
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def collapsed(usage: Sequence[float], fewest: float = FEWEST) -> bool:
    """Whether fewer than ``fewest`` slots are in effective use, where there are as many at all.

    >>> collapsed([0.9, 0.1, 0.0]), collapsed([0.4, 0.3, 0.3]), collapsed([1.0])
    (True, False, False)
    """
    return len(usage) >= fewest and effective_slots(usage) < fewest
