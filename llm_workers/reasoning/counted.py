"""Which items go together, counted over all users but the one that is asked about.

``c(x, y)`` sums ``1 / distance`` over every time that somebody took y within ``reach`` events after x, and ``backward``
times that for y before x; ``strength = min(1, c / √(n(x) n(y)))`` with n the number of events. Whoever is asked about
is left out of c and n alike, so no event of theirs, a label least of all, has a part in what is near their items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from llm_workers.reasoning.coded import Histories

REACH = 3
BACKWARD = 0.5
MOST_NEAR = 20
"""Neighbours of an item."""


class CountArrays(NamedTuple):
    """As the kernels take them."""

    items: NDArray[np.int32]
    """``[E]`` of the histories."""
    borders: NDArray[np.int64]
    """``[U + 1]``."""
    counted: NDArray[np.int64]
    """``[U]`` events of each user that are counted, the first ones."""
    starts: NDArray[np.int64]
    """``[N + 1]``: where each item occurs is ``places[starts[i]:starts[i + 1]]``."""
    places: NDArray[np.int64]
    """Places among the events."""
    users: NDArray[np.int32]
    """Whose they are."""
    weights: NDArray[np.float64]
    """``[2 * reach + 1]`` by distance, from ``-reach``."""
    alphabet: NDArray[np.int32]


@dataclass(frozen=True)
class CountedNeighbours:
    """Neighbours of items for each user, counted over the others."""

    arrays: CountArrays
    most: int

    @classmethod
    def of(
        cls,
        histories: Histories,
        alphabet: NDArray[np.int32],
        *,
        counted: NDArray[np.integer] | None = None,
        reach: int = REACH,
        backward: float = BACKWARD,
        most: int = MOST_NEAR,
    ) -> CountedNeighbours:
        """Count the first ``counted`` ``[U]`` events of each user (None: all). In leave-one-out give the training
        part: what other users were held out must not be counted either. ``alphabet`` ``[N]`` breaks ties.
        """
        lengths = histories.lengths()
        first = lengths if counted is None else np.asarray(counted, np.int64)
        if len(first) != histories.users or (first > lengths).any() or (first < 0).any():
            raise ValueError("counted: give for each user a number of events from 0 to the length of the history")
        user = np.repeat(np.arange(histories.users, dtype=np.int32), lengths)
        within = np.arange(len(histories.items)) - np.repeat(histories.borders[:-1], lengths)
        kept = np.flatnonzero(within < first[user])
        order = kept[np.argsort(histories.items[kept], kind="stable")]
        starts = np.zeros(len(alphabet) + 1, np.int64)
        np.cumsum(np.bincount(histories.items[kept], minlength=len(alphabet)), out=starts[1:])
        distance = np.arange(-reach, reach + 1, dtype=np.float64)
        weights = np.where(distance < 0, backward, 1.0) / np.maximum(np.abs(distance), 1)
        weights[reach] = 0.0
        arrays = CountArrays(histories.items, histories.borders, first, starts, order, user[order], weights, alphabet)
        return cls(arrays, most)

    def near(self, user: int, item: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Item codes and strengths ``([n], [n])`` of an item's neighbours, the strongest first, without ``user``."""
        ids, strengths = np.zeros((1, self.most), np.int32), np.zeros((1, self.most))
        scratch = np.zeros(len(self.arrays.alphabet))
        neighbours_of(self.arrays, user, item, scratch, ids[0], strengths[0])
        found = strengths[0] > 0
        return ids[0][found], strengths[0][found]


@numba.njit(cache=True)
def neighbours_of(counts: Any, user: int, item: int, scratch: Any, ids: Any, strengths: Any) -> None:
    """Fill ``ids`` and ``strengths`` ``[most]`` (0 at the end); ``scratch`` ``[N]`` is zero before and after."""
    reach = len(counts.weights) // 2
    first, last = counts.starts[item], counts.starts[item + 1]
    touched = np.empty((last - first) * 2 * reach, np.int64)
    found, mine = 0, 0
    for at in range(first, last):
        other = counts.users[at]
        if other == user:
            mine += 1
            continue
        place = counts.places[at]
        low = max(place - reach, counts.borders[other])
        high = min(place + reach, counts.borders[other] + counts.counted[other] - 1)
        for near in range(low, high + 1):
            weight = counts.weights[near - place + reach]
            partner = counts.items[near]
            if weight > 0 and partner != item:
                if scratch[partner] == 0:
                    touched[found] = partner
                    found += 1
                scratch[partner] += weight
    n_item = last - first - mine
    begin = counts.borders[user]
    for at in range(found):
        partner = touched[at]
        own = 0
        for place in range(begin, begin + counts.counted[user]):
            own += counts.items[place] == partner
        n_partner = counts.starts[partner + 1] - counts.starts[partner] - own
        strength = min(1.0, scratch[partner] / np.sqrt(n_item * n_partner))
        scratch[partner] = 0.0
        _insert(ids, strengths, partner, strength, counts.alphabet)


@numba.njit(cache=True)
def _insert(ids: Any, values: Any, item: int, value: float, alphabet: Any) -> None:
    """Into a list with the largest first, of equals the first by id; 0 ends it."""
    last = len(ids) - 1
    if not _before(value, alphabet[item], values[last], alphabet[ids[last]]):
        return
    at = last
    while at > 0 and _before(value, alphabet[item], values[at - 1], alphabet[ids[at - 1]]):
        ids[at], values[at] = ids[at - 1], values[at - 1]
        at -= 1
    ids[at], values[at] = item, value


@numba.njit(cache=True)
def _before(value: float, name: int, other: float, other_name: int) -> bool:
    return value > other or (value == other and value > 0 and name < other_name)
