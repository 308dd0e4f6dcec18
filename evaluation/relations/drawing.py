"""Items drawn at random among those that a user does not have, many at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Unmet:
    """Draws items, uniformly, that a user has no event with in the rows it was made from.

    For learning it is made from learned rows alone: the release also leaves out the items of the user's validation and
    test events, and so tells the model, by what is never a negative, what is to come.
    """

    def __init__(self, users: Rows, items: Rows, n_items: int) -> None:
        """``users``, ``items`` ``[N]`` rows of events; items count from 1 to ``n_items``. Raises ValueError where a
        user has all items.
        """
        self._n_items = n_items
        self._pairs = np.unique(self._key(users, items))
        if len(self._pairs) and np.bincount(self._pairs // (n_items + 1)).max() >= n_items:
            raise ValueError(f"a user has all {n_items} items; nothing is left to draw for them")

    def draw(self, users: Rows, count: int, rng: np.random.Generator) -> Rows:
        """``[N, count]`` item rows for users ``[N]``, each drawn for itself."""
        drawn = rng.integers(1, self._n_items + 1, (len(users), count))
        while True:
            met = self.met(users[:, None], drawn)
            wrong = int(met.sum())
            if not wrong:
                return drawn
            drawn[met] = rng.integers(1, self._n_items + 1, wrong)

    def draw_distinct(self, users: Rows, count: int, rng: np.random.Generator) -> Rows:
        """``[N, count]`` item rows, no item twice for one user. Raises ValueError where too few are left."""
        lists = np.empty((len(users), count), dtype=np.int64)
        everything = np.arange(1, self._n_items + 1)
        for place, user in enumerate(users.tolist()):
            pool = everything[~self.met(np.full(self._n_items, user), everything)]
            if len(pool) < count:
                raise ValueError(f"user row {user} has but {len(pool)} items left; {count} cannot be drawn")
            lists[place] = rng.choice(pool, count, replace=False)
        return lists

    def met(self, users: Rows, items: Rows) -> NDArray[np.bool_]:
        """Whether the user has the item, for broadcastable arrays."""
        keys = self._key(users, items)
        if not len(self._pairs):
            return np.zeros(keys.shape, dtype=np.bool_)
        found = np.searchsorted(self._pairs, keys).clip(max=len(self._pairs) - 1)
        same: NDArray[np.bool_] = self._pairs[found] == keys
        return same

    def _key(self, users: Rows, items: Rows) -> Rows:
        key: Rows = users * (self._n_items + 1) + items
        return key
