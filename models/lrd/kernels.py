"""Scores of candidates as compiled loops: the same sum as :meth:`models.lrd.linear.LinearRelations.scores`, without an
array per candidate, relation and past item.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@njit(cache=True, fastmath=True)
def scores(
    users: Floats,
    past: Ints,
    weight: Floats,
    items: Ints,
    vectors: Floats,
    residuals: Floats,
    biases: Floats,
    codes: Ints,
    mixing: Floats,
    latent_at: int,
) -> Floats:
    """``[U, C]`` of the candidate rows ``items [U, C]``, 0 for the null row.

    ``users [U, d]``; ``past [U, H]`` item rows, newest first, then 0, of ``weight [U, R, H]``; by item row ``vectors
    [N, d + 2R]`` (what its text says, then e to the power of its halves as a past item and as a candidate),
    ``residuals [N, d]``, ``biases [N, 1]`` and ``codes [N, A]``; ``mixing [R, d]``. Relations from ``latent_at`` on are
    latent, those between 0 and it are attributes.
    """
    count, d = mixing.shape
    made = np.zeros(items.shape, np.float32)
    led = np.zeros((past.shape[1], count, d), np.float32)
    moved = np.zeros(d, np.float32)
    own = np.zeros(d, np.float32)
    for u in range(items.shape[0]):
        length = 0
        while length < past.shape[1] and past[u, length] > 0:
            h = past[u, length]
            for r in range(count):
                for k in range(d):
                    led[length, r, k] = weight[u, r, length] * mixing[r, k] * (vectors[h, k] + residuals[h, k])
            length += 1
        for c in range(items.shape[1]):
            i = items[u, c]
            if i == 0:
                continue
            for k in range(d):
                own[k] = vectors[i, k] + residuals[i, k]
                moved[k] = users[u, k]
            for place in range(length):
                h = past[u, place]
                for k in range(d):
                    moved[k] += led[place, 0, k]
                for a in range(1, latent_at):
                    if codes[i, a - 1] > 0 and codes[i, a - 1] == codes[h, a - 1]:
                        for k in range(d):
                            moved[k] += led[place, a, k]
                total = np.float32(1e-30)
                for r in range(count):
                    total += vectors[h, d + r] * vectors[i, d + count + r]
                for r in range(latent_at, count):
                    q = count * vectors[h, d + r] * vectors[i, d + count + r] / total
                    for k in range(d):
                        moved[k] += q * led[place, r, k]
            score = biases[i, 0]
            for k in range(d):
                score += own[k] * moved[k]
            made[u, c] = score
    return made
