"""What usually follows the user's last item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.baselines.growing import grown
from models.baselines.pairs import PairTable
from models.baselines.popularity import Popularity
from models.baselines.recommender import Basket, Setting


class Markov:
    """A first-order Markov chain over items: those that followed the user's last item, by how often, then the rest;
    ties by popularity.

    Items of one basket follow each other in the log's order. It is the one order there is; where it means nothing, so
    do the transitions inside a basket.
    """

    name = "markov"

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}
        self._popularity = Popularity()
        self._next = PairTable()
        self._last = np.zeros(256, dtype=np.int64)
        """Each user's last item, 0 for none."""

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """``[1 + items]``: the count of transitions, plus popularity scaled to stay below 1/2."""
        popularity = self._popularity.scores(user, ts)
        scores: NDArray[np.float64] = popularity / (2 * popularity.max() + 2)
        if user < len(self._last) and self._last[user]:
            followers, counts = self._next.row(int(self._last[user]))
            scores[followers] += counts
        return scores

    def learn(self, basket: Basket) -> None:
        """Count the way from the user's last item through the basket. Refusals are left out."""
        self._popularity.learn(basket)
        way = self._walk(basket)
        self._next.count(way[:-1], way[1:])

    def follow(self, basket: Basket) -> None:
        """Let the basket's last item be the user's, without counting the way to it."""
        self._popularity.follow(basket)
        self._walk(basket)

    def _walk(self, basket: Basket) -> NDArray[np.int64]:
        """The user's last item, if any, and what they took now, ``[n]``; the last of these becomes the user's last."""
        self._last = grown(self._last, basket.user + 1)
        way = np.concatenate([self._last[basket.user : basket.user + 1], basket.items[basket.sign > 0]])
        way = way[way > 0]
        if len(way):
            self._last[basket.user] = way[-1]
        return way
