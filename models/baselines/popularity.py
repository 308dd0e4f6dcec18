"""What everybody takes, over all time or lately."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.baselines.growing import grown
from models.baselines.recommender import Basket, Setting

DAY_MS = 86_400_000

HALF_LIVES = (0.25, 1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 365.0)
"""Days that tuning tries."""


class Popularity:
    """Items by the number of times that they were taken."""

    name = "popularity"

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}
        self.items = 0
        """Largest item row learned."""
        self.counts = np.zeros(256)
        """How often each item row was taken; longer than the rows learned."""

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """Counts ``[1 + items]``."""
        return self.counts[: self.items + 1]

    def learn(self, basket: Basket) -> None:
        """Count what was taken; refusals are no votes."""
        self.follow(basket)
        np.add.at(self.counts, basket.items[basket.sign > 0], 1.0)

    def follow(self, basket: Basket) -> None:
        """Grow; no user has a state of their own."""
        self.items = max(self.items, int(basket.items.max(initial=0)))
        self.counts = grown(self.counts, self.items + 1)


class DecayedPopularity:
    """Items by a count in which an event weighs half as much after each half-life:
    ``Σ 2^(-(now - ts) / half_life)``. ``half_life_days`` must be above 0.
    """

    name = "decayed-popularity"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {"half_life_days": HALF_LIVES}

    def __init__(self, half_life_days: float = 7.0) -> None:
        self._half_life = half_life_ms(half_life_days)
        self.settings: dict[str, Setting] = {"half_life_days": half_life_days}
        self._items = 0
        self._masses = np.zeros(256)
        self._since: float | None = None

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """Decayed counts ``[1 + items]`` as of ``ts``."""
        masses = self._masses[: self._items + 1]
        return masses if self._since is None else masses * 2.0 ** -((ts - self._since) / self._half_life)

    def learn(self, basket: Basket) -> None:
        """Count what was taken; refusals are no votes."""
        self.follow(basket)
        if self._since is None:
            self._since = basket.ts
        elapsed = (basket.ts - self._since) / self._half_life
        if elapsed > MOST_HALF_LIVES:
            # Whole half-lives scale by exact powers of two, so that equal counts stay equal.
            whole = math.floor(elapsed)
            self._masses = np.ldexp(self._masses, -whole)
            self._since += whole * self._half_life
            elapsed -= whole
        np.add.at(self._masses, basket.items[basket.sign > 0], 2.0**elapsed)

    def follow(self, basket: Basket) -> None:
        """Grow; no user has a state of their own."""
        self._items = max(self._items, int(basket.items.max(initial=0)))
        self._masses = grown(self._masses, self._items + 1)


MOST_HALF_LIVES = 400
"""Masses are kept as of a moment that moves on when it is so far behind: 2^400 leaves room in a float64."""


def half_life_ms(days: float) -> float:
    """Days as milliseconds. Raises ValueError unless above 0."""
    if not days > 0:
        raise ValueError(f"half_life_days = {days}: use a number of days above 0")
    return days * DAY_MS
