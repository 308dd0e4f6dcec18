"""Ranking metrics as pure functions of ranks, so that a figure in a table can be checked by hand.

Each evaluated event has exactly one relevant item, the one the user took, and a rank ``[B]`` says where the
model put it: 1 is the best, ties share their middle rank (so a constant score earns no luck), ``inf`` means
the item was not among the candidates (a miss that stays in the average), and NaN means the event is no
target and is left out.

=====  ====  ========================  ========
rank   hit   gain (k = 10)             1 / rank
=====  ====  ========================  ========
1      1     1 / log2(2)  = 1.0        1.0
2      1     1 / log2(3)  = 0.6309     0.5
2.5    1     1 / log2(3.5) = 0.5533    0.4
10     1     1 / log2(11) = 0.2891     0.1
10.5   0     0                         0.0952
inf    0     0                         0
NaN    left out of every average
=====  ====  ========================  ========
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.floating[Any]]
PerEvent = npt.NDArray[np.float64]


def middle_rank(scores: npt.ArrayLike, target_index: npt.ArrayLike) -> PerEvent:
    """Rank ``[B]`` of each row's target: ``1 + #greater + #equal others / 2``.

    ``scores`` ``[B, C]``; ``-inf`` marks a masked candidate. ``target_index`` ``[B]`` is the target's
    column, or -1 where it is no candidate; such a target, like a masked one, gets rank ``inf``. Raises
    ValueError for NaN scores (they compare with nothing, and the rank would look good) and for an index that
    is no column.

    Three candidates, two of them tied, the target once on top, once in the tie, once absent:

    >>> middle_rank([[3.0, 1.0, 1.0]] * 3, [0, 2, -1]).tolist()
    [1.0, 2.5, inf]
    """
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    targets = np.atleast_1d(np.asarray(target_index, dtype=np.int64))
    if targets.shape != table.shape[:1]:
        raise ValueError(f"{table.shape[0]} rows of scores need as many targets, not {targets.shape}")
    if np.isnan(table).any():
        raise ValueError("scores hold NaN, which has no rank; give -inf to a candidate that must not be ranked")
    if table.size and not ((targets >= -1) & (targets < table.shape[1])).all():
        raise ValueError(f"target_index must be a column (0 to {table.shape[1] - 1}) or -1 for no candidate")
    if not table.shape[1]:
        return np.full(len(targets), np.inf)
    own = np.where(targets >= 0, table[np.arange(len(targets)), targets], -np.inf)
    greater = (table > own[:, None]).sum(axis=1)
    equal_others = (table == own[:, None]).sum(axis=1) - 1
    return np.where(own == -np.inf, np.inf, 1 + greater + equal_others / 2)


def hits(ranks: Ranks, k: int = 10) -> PerEvent:
    """Per event ``[B]``: 1 where ``rank <= k``, else 0; NaN stays NaN.

    >>> hits(np.array([1.0, 10.5, np.nan]), 10).tolist()
    [1.0, 0.0, nan]
    """
    ranked = _checked(ranks)
    return np.where(np.isnan(ranked), np.nan, ranked <= _positive(k))


def gains(ranks: Ranks, k: int = 10) -> PerEvent:
    """Per event ``[B]``: ``1 / log2(1 + rank)`` where ``rank <= k``, else 0; NaN stays NaN.

    With one relevant item the ideal gain is 1, so the mean of these is NDCG@k. A middle rank between two
    places gets the gain at that point of the curve.

    >>> gains(np.array([1.0, 3.0, 11.0]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    ranked = _checked(ranks)
    # NaN > k is false, so that NaN goes through the logarithm and stays NaN.
    return np.where(ranked > _positive(k), 0.0, 1 / np.log2(1 + ranked))


def reciprocals(ranks: Ranks) -> PerEvent:
    """Per event ``[B]``: ``1 / rank`` (0 for rank ``inf``); NaN stays NaN.

    >>> reciprocals(np.array([4.0, np.inf])).tolist()
    [0.25, 0.0]
    """
    return 1 / _checked(ranks)


def hit_rate(ranks: Ranks, k: int = 10) -> float:
    """HR@k: the share of targets ranked k-th or better. NaN if there is no target.

    >>> hit_rate(np.array([1.0, 7.0, 12.0, np.inf, np.nan]), 10)
    0.5
    """
    return _mean(hits(ranks, k))


def ndcg(ranks: Ranks, k: int = 10) -> float:
    """NDCG@k with one relevant item per event (Järvelin and Kekäläinen 2002). NaN if there is no target.

    >>> ndcg(np.array([1.0, 3.0, 11.0, np.nan]), 10)
    0.5
    """
    return _mean(gains(ranks, k))


def mrr(ranks: Ranks) -> float:
    """Mean reciprocal rank over the whole list, no cut-off. NaN if there is no target.

    >>> mrr(np.array([1.0, 4.0, np.inf, np.nan])) == (1 + 0.25 + 0) / 3
    True
    """
    return _mean(reciprocals(ranks))


def figures(ranks: Ranks, k: int = 10) -> dict[str, float]:
    """The three figures under the keys that reports use.

    >>> figures(np.array([1.0, 3.0]))
    {'hr@10': 1.0, 'ndcg@10': 0.75, 'mrr': 0.6666666666666666}
    """
    return {f"hr@{k}": hit_rate(ranks, k), f"ndcg@{k}": ndcg(ranks, k), "mrr": mrr(ranks)}


def _positive(k: int) -> int:
    if k < 1:
        raise ValueError(f"k = {k} is no cut-off; use 1 or more")
    return k


def _checked(ranks: Ranks) -> PerEvent:
    """Ranks as float64. Raises ValueError for a rank below 1."""
    ranked = np.asarray(ranks, dtype=np.float64)
    if (ranked < 1).any():
        raise ValueError(f"rank {ranked[ranked < 1][0]} is below 1; ranks count from 1")
    return ranked


def _mean(values: PerEvent) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
