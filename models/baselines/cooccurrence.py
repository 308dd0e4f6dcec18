"""Items that went together with what the user took last."""

from __future__ import annotations

from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import NDArray

from models.baselines.growing import grown
from models.baselines.pairs import PairTable
from models.baselines.popularity import Popularity
from models.baselines.recommender import Basket, Setting

DECAYS = (0.3, 0.5, 0.7, 0.85, 1.0)
"""Weights of an item relative to the one after it that tuning tries."""


class Cooccurrence:
    """Item-to-item neighbours on line (the cosine of item-KNN, Sarwar et al. 2001, within a short window):

    ``score(j) = Σ_p decay^p · c(i_p, j) / √(n(i_p) · n(j))``

    over the user's ``window`` last distinct items ``i_0`` (newest), ``i_1``, …; ``n`` counts events. When an item
    arrives, ``c`` grows by 1, both ways, for it and each other item then among the user's last ones; items of one
    basket arrive one after the other in the log's order, so they pair with each other too. ``decay`` in (0, 1].
    """

    name = "cooccurrence"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {"decay": DECAYS}

    def __init__(self, decay: float = 0.7, window: int = 10) -> None:
        if not 0 < decay <= 1:
            raise ValueError(f"decay = {decay}: use a number above 0, up to 1")
        if window < 1:
            raise ValueError(f"window = {window}: use 1 item or more")
        self.settings: dict[str, Setting] = {"decay": decay, "window": window}
        self._weights = np.array([decay**place for place in range(window)])
        self._popularity = Popularity()
        self._pairs = PairTable()
        self._last = np.zeros((256, window), dtype=np.int64)
        """Each user's last distinct items, newest first, then 0."""

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """``[1 + items]``, 0 for items that never went together with the user's last ones."""
        scores = np.zeros(self._popularity.items + 1)
        if user < len(self._last):
            _add_neighbours(scores, self._weights, self._last[user], self._popularity.counts, *self._pairs.blocks)
        return scores

    def learn(self, basket: Basket) -> None:
        """Pair each item with the user's last ones, in the basket's order. Refusals are left out."""
        self._popularity.learn(basket)
        self._pairs.count(*self._arrive(basket))

    def follow(self, basket: Basket) -> None:
        """Let the items become the user's last ones, without pairing them."""
        self._popularity.follow(basket)
        self._arrive(basket)

    def _arrive(self, basket: Basket) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        self._last = grown(self._last, basket.user + 1)
        one, other = _arrivals(self._last[basket.user], basket.items[basket.sign > 0])
        return one, other


@numba.njit(cache=True)
def _add_neighbours(
    scores: Any, weights: Any, last: Any, counts: Any, starts: Any, lengths: Any, neighbours: Any, together: Any
) -> None:
    for position in range(len(last)):
        item = last[position]
        if item == 0:
            break
        if item >= len(starts):
            continue
        for place in range(starts[item], starts[item] + lengths[item]):
            other = neighbours[place]
            scores[other] += weights[position] * together[place] / np.sqrt(counts[item] * counts[other])


@numba.njit(cache=True)
def _arrivals(last: Any, items: Any) -> Any:
    """Pairs ``([P], [P])``, both ways, of each arriving item with the distinct others of ``last`` ``[window]``, which
    moves on in place."""
    window = len(last)
    one = np.empty(2 * window * len(items), dtype=np.int64)
    other = np.empty_like(one)
    found = 0
    for item in items:
        place = window - 1
        for position in range(window):
            known = last[position]
            if known == item or known == 0:
                place = min(place, position)
            if known not in (0, item):
                one[found] = other[found + 1] = item
                other[found] = one[found + 1] = known
                found += 2
        for position in range(place, 0, -1):
            last[position] = last[position - 1]
        last[0] = item
    return one[:found], other[:found]
