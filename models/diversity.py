"""Lists that do not say the same thing ten times: maximal marginal relevance over what items are alike by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.graph import DynamicGraph

POOL = 4
"""Candidates looked at per place of the list."""

_ROUNDING = 1e-12
"""What two worths must differ by to differ."""

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]


class MaximalMarginalRelevance:
    """Fills place after place with the candidate of largest ``(1 - s) · relevance - s · likeness``.

    Carbonell and Goldstein 1998, with ``lambda = 1 - strength``. Relevance is the score, scaled to [0, 1] over the pool
    of one list; likeness is that to the most alike item already placed: the share of common labels (brand, categories
    and their levels; Jaccard), averaged with the cosine of ``vectors`` (negative: 0) where those are given. An item
    without labels is judged by vectors alone; with neither it is like no other. Of equals the better score wins.

    Strength 0 leaves the ranker's order, and so does a catalogue that knows nothing if there are no vectors; 1 looks at
    scores for the first place and for ties only.
    """

    def __init__(self, strength: float, vectors: Callable[[], Tensor] | None = None) -> None:
        """``vectors`` gives ``[items, d]`` vectors of all rows. Raises ValueError for a strength outside [0, 1]."""
        if not 0 <= strength <= 1:
            raise ValueError(f"diversity = {strength} is out of bounds; use 0 (off) to 1 (as varied as can be)")
        self.strength = strength
        self._vectors = vectors

    def pool(self, k: int) -> int:
        """Four times the list."""
        return POOL * k

    def order(self, graph: DynamicGraph, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """Columns ``[U, min(k, P)]`` of ``items [U, P]`` (best first by ``scores``), as :class:`Rerank` says."""
        k = min(k, items.shape[1])
        if not self.strength:
            return torch.arange(k).repeat(len(items), 1)
        rows = items.numpy()
        labels = graph.catalogue.labels()[rows]
        vectors = _directions(self._vectors()[items]) if self._vectors else np.zeros((*rows.shape, 0))
        relevance = _scaled(scores.to(torch.float64).numpy())
        return torch.from_numpy(_mmr(rows, relevance, labels, vectors, self.strength, k))


def _scaled(scores: Floats) -> Floats:
    """Scores ``[U, P]`` in [0, 1] per list, where they are finite."""
    there = np.isfinite(scores)
    low = np.where(there, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(there, scores, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        span = np.where(high > low, high - low, 1.0)
        return np.where(there, (scores - low) / span, 0.0)


def _directions(vectors: Tensor) -> Floats:
    """Vectors of length 1, or 0 where they had none."""
    directions: Floats = torch.nn.functional.normalize(vectors.detach().cpu().to(torch.float64), dim=-1).numpy()
    return directions


@njit(cache=True)
def _likeness(one: Codes, other: Codes, direction: Floats, other_direction: Floats) -> float:
    ours, theirs, common = 0, 0, 0
    for own in one:
        if own == 0:
            break
        ours += 1
    for code in other:
        if code == 0:
            break
        theirs += 1
        for place in range(ours):
            common += one[place] == code
    cosine = 0.0
    for d in range(direction.shape[0]):
        cosine += direction[d] * other_direction[d]
    cosine = max(cosine, 0.0)
    if ours == 0 or theirs == 0:
        return cosine
    shared = common / (ours + theirs - common)
    return (shared + cosine) / 2 if direction.shape[0] else shared


@njit(cache=True)
def _mmr(rows: Ints, relevance: Floats, labels: Codes, vectors: Floats, strength: float, k: int) -> Ints:
    lists, pool = rows.shape
    order = np.zeros((lists, k), np.int64)
    for u in range(lists):
        placed = np.zeros(pool, np.bool_)
        likeness = np.zeros(pool)
        for place in range(k):
            best, most = -1, -np.inf
            for p in range(pool):
                if not placed[p]:
                    worth = (1 - strength) * relevance[u, p] - strength * likeness[p]
                    # Padding comes after everything that can be shown.
                    if rows[u, p] == 0:
                        worth = -3.0
                    if worth > most + _ROUNDING:
                        best, most = p, worth
            order[u, place] = best
            placed[best] = True
            for p in range(pool):
                if not placed[p] and rows[u, p] > 0:
                    alike = _likeness(labels[u, best], labels[u, p], vectors[u, best], vectors[u, p])
                    likeness[p] = max(likeness[p], alike)
    return order
