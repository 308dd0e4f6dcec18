"""Where items stand in a vector of scores: middle ranks and top-k lists, compiled, one pass over the scores each.

Entry 0 of the scores belongs to the null row and is never looked at; ``-inf`` marks a masked candidate.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def middle_ranks(scores: Scores, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rank ``[T]`` of each target among ``scores`` ``[1 + items]``: ``1 + #greater + #equal others / 2``.

    A target that is masked, or a row beyond the scores, is no candidate and gets ``inf``. Equal to
    :func:`evaluation.metrics.middle_rank` with the same scores for each target. Raises ValueError for NaN scores
    (they compare with nothing, and the rank would look good) and for a target below 1.

    >>> middle_ranks(np.array([9.0, 3.0, 1.0, 1.0]), np.array([1, 3, 4])).tolist()
    [1.0, 2.5, inf]
    """
    if (targets < 1).any():
        raise ValueError(f"target {targets.min()} is no item row; rows count from 1")
    ranks = np.empty(len(targets))
    if not _rank(scores, targets, ranks):
        raise ValueError("scores hold NaN, which has no rank; give -inf to a candidate that must not be ranked")
    return ranks


def top_items(scores: Scores, k: int) -> NDArray[np.int32]:
    """The ``k`` best item rows, best first, fewer where there are fewer candidates. Of equal ones the lower row, which
    is the item that appeared first, stands first.

    >>> top_items(np.array([9.0, 1.0, 3.0, 1.0, -np.inf]), 2).tolist()
    [2, 1]
    """
    items = np.empty(k, dtype=np.int32)
    return items[: _top(scores, items, np.empty(k))]


@numba.njit(cache=True)
def _rank(scores: Any, targets: Any, ranks: Any) -> bool:
    for row in range(1, len(scores)):
        if scores[row] != scores[row]:
            return False
    for place in range(len(targets)):
        target = targets[place]
        if target >= len(scores) or scores[target] == -np.inf:
            ranks[place] = np.inf
            continue
        own = scores[target]
        greater = 0
        equal = 0
        for row in range(1, len(scores)):
            greater += scores[row] > own
            equal += scores[row] == own
        ranks[place] = 1 + greater + (equal - 1) / 2
    return True


@numba.njit(cache=True)
def _top(scores: Any, items: Any, values: Any) -> int:
    """Fills ``items`` by insertion: a score that does not beat the k-th best so far costs one comparison."""
    k = len(items)
    found = 0
    for row in range(1, len(scores)):
        score = scores[row]
        if score == -np.inf or (found == k and score <= values[k - 1]):
            continue
        place = found if found < k else k - 1
        while place > 0 and values[place - 1] < score:
            values[place] = values[place - 1]
            items[place] = items[place - 1]
            place -= 1
        values[place] = score
        items[place] = row
        found = min(found + 1, k)
    return found
