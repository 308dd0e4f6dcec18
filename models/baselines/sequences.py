"""What each user took, in order, and how a sequence model reads it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Windows(NamedTuple):
    """Rows to train on, each a stretch of one user's sequence; every event is the target of exactly one row."""

    inputs: NDArray[np.int64]
    """``[W, L]`` 0, then item rows in order: position p stands for what is known after p events. Filled with 0."""
    queries: NDArray[np.int64]
    """``[W, L]`` the position from which the target in the same place is predicted."""
    targets: NDArray[np.int64]
    """``[W, L]`` item rows; 0 is no target."""


class Sequences:
    """The items of every user, basket by basket.

    A target is predicted from what was known before its **basket**, because this is what a recommender is asked. The
    order within a basket is that of the shop's receipt, and a model that learns it is never asked about it.
    """

    def __init__(self) -> None:
        self._items: dict[int, list[int]] = {}
        self._learned: dict[int, int] = {}
        # Learned events in order: user row, item row, place in the user's sequence, place where the basket began.
        self._log = array("q")

    def __len__(self) -> int:
        """Events to train on."""
        return len(self._log) // 4

    def learn(self, user: int, items: Sequence[int]) -> None:
        """Append a basket of item rows to the user's sequence, to be trained on."""
        start = self._learned.get(user, 0)
        self._learned[user] = start + len(items)
        for place, item in enumerate(items, start):
            self._log.extend((user, item, place, start))
        self.follow(user, items)

    def follow(self, user: int, items: Sequence[int]) -> None:
        """Append a basket to what is known of the user, and to nothing that is trained on."""
        self._items.setdefault(user, []).extend(items)

    def latest(self, user: int, n: int) -> list[int]:
        """The user's last ``n`` items (1 or more), oldest first."""
        return self._items.get(user, [])[-n:]

    def windows(self, length: int, events: int, rng: np.random.Generator) -> Windows:
        """The log's last ``events`` events, each user's share cut into rows of at most ``length``.

        Where a share is longer than a row the cuts are shifted at random, so that from epoch to epoch an event is seen
        with another past.
        """
        user, item, place, start = np.array(self._log[-4 * events :], np.int64).reshape(-1, 4).T
        by_user = np.argsort(user, kind="stable")
        user, item, place, start = user[by_user], item[by_user], place[by_user], start[by_user]
        _, first, which, count = np.unique(user, return_index=True, return_inverse=True, return_counts=True)
        origin = place[first][which]
        shift = np.where(count > length, rng.integers(0, length, len(count)), 0)[which]
        cell = (place - origin + shift) // length
        begin = origin + np.maximum(cell * length - shift, 0)
        row = np.cumsum((np.diff(user, prepend=-1) != 0) | (np.diff(cell, prepend=-1) != 0)) - 1
        column = place - begin
        inputs, queries, targets = np.zeros((3, row[-1] + 1 if len(row) else 0, length), np.int64)
        queries[row, column] = np.maximum(start - begin, 0)
        targets[row, column] = item
        inputs[:, 1:] = targets[:, :-1]
        return Windows(inputs, queries, targets)
