"""What the user took before, by how often and how lately."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.baselines.pairs import PairTable
from models.baselines.popularity import HALF_LIVES, Popularity, half_life_ms
from models.baselines.recommender import Basket, Setting


class Own:
    """The user's own items by decayed count ``Σ 2^(-(now - ts) / half_life)``, then all others; ties by popularity.

    A short half-life makes it pure recency, a long one pure frequency. ``half_life_days`` must be above 0.
    """

    name = "own"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {"half_life_days": HALF_LIVES}

    def __init__(self, half_life_days: float = 90.0) -> None:
        self._half_life = half_life_ms(half_life_days)
        self.settings: dict[str, Setting] = {"half_life_days": half_life_days}
        self._popularity = Popularity()
        self._owned = PairTable(empty=-np.inf)
        """(user, item) to the log2 of the decayed count as of the first event's time: unlike the count itself it can
        neither overflow nor vanish."""
        self._first: int | None = None

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """``[1 + items]``: places of the user's own items, from 1 up; below them popularity scaled to [0, 1)."""
        popularity = self._popularity.scores(user, ts)
        scores: NDArray[np.float64] = popularity / (popularity.max() + 1)
        items, logs = self._owned.row(user)
        ties = np.stack([logs, popularity[items]])
        order = np.lexsort(ties[::-1])
        steps = (np.diff(ties[:, order]) != 0).any(axis=0)
        scores[items[order]] = 1 + np.concatenate([[0], np.cumsum(steps)])[: len(items)]
        return scores

    def items(self, user: int) -> NDArray[np.int32]:
        """Item rows ``[m]`` that the user took, ascending."""
        return self._owned.row(user)[0]

    def shares(self, user: int, ts: int) -> NDArray[np.float64]:
        """Decayed counts ``[1 + items]``, divided by the largest; 0 for items that are not the user's own."""
        shares = np.zeros(self._popularity.items + 1)
        items, logs = self._owned.row(user)
        if len(items):
            shares[items] = np.exp2(logs - logs.max())
        return shares

    def learn(self, basket: Basket) -> None:
        """Count what the user took. Refusals are left out."""
        self._popularity.learn(basket)
        self._own(basket)

    def follow(self, basket: Basket) -> None:
        """Count what the user took for the user, but not for the popularity that breaks ties."""
        self._popularity.follow(basket)
        self._own(basket)

    def _own(self, basket: Basket) -> None:
        self._first = basket.ts if self._first is None else self._first
        taken = basket.items[basket.sign > 0]
        slots = self._owned.slots(np.full(len(taken), basket.user), taken)
        np.logaddexp2.at(self._owned.values, slots, (basket.ts - self._first) / self._half_life)
