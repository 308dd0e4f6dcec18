"""Scorers without learned weights that any learned model must beat to be worth its cost.

On graphs where people come back to what they know, counting beats plain temporal graph networks by far; a table
without these lines flatters whatever it shows. All keep exponentially decayed counts in the exponent,
``L = log2 Σ 2^(t_i / half_life)``: adding an event is one ``logaddexp2``, the decayed count at time t is
``2^(L − t / half_life)``, and nothing ever has to be scaled down or can underflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from evaluation.link_prediction import LinkScorer
from evaluation.readers.edges import EdgeLog, Ints

Table = npt.NDArray[np.float64]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

TIER = 1e6
"""Between two tiers, in half-lives: what was idle for longer than that (19 years of 10 minutes) counts as never."""


class DecayedCounts:
    """Logarithms (base 2) of decayed event counts in a table of any shape; a half-life of infinity counts plainly."""

    def __init__(self, shape: tuple[int, ...], half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self.table = np.full(shape, -np.inf)

    def add(self, cells: Ints | tuple[Ints, Ints], ts: Ints) -> None:
        """One event in each of ``cells [B]`` at ``ts [B]`` (ms); a cell may come more than once."""
        np.logaddexp2.at(self.table, cells, ts / self.half_life_ms)

    def at(self, ts: Ints) -> Table:
        """``[n, 1]`` what must be taken off the table to get logarithms of the counts at ``ts [n]``."""
        return (ts / self.half_life_ms)[:, None]


class Popularity:
    """Items by their number of events, decayed with ``half_life_ms`` (default: not at all)."""

    def __init__(self, n_items: int, half_life_ms: float = math.inf) -> None:
        self._counts = DecayedCounts((n_items,), half_life_ms)

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Table:
        """``[n, n_items]`` log2 of the decayed count; ``-1e6`` without an event."""
        return np.maximum(self._counts.table - self._counts.at(ts), -TIER)

    def update(self, batch: EdgeLog) -> None:
        """Count the batch."""
        self._counts.add(batch.items, batch.ts)


class EdgeBank:
    """1 for pairs that were there before, 0 for others (Poursafaei et al. 2022, unlimited memory).

    With ``ties_by_popularity`` both halves are ordered by the items' number of events.
    """

    def __init__(self, n_users: int, n_items: int, *, ties_by_popularity: bool = False) -> None:
        self._known = np.zeros((n_users, n_items), dtype=np.bool_)
        self._counts = np.zeros(n_items)
        self._ties = ties_by_popularity

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Table:
        """``[n, n_items]``; below 1 for unknown pairs, 1 or more for known ones."""
        known = self._known[users].astype(np.float64)
        return known + self._counts / (1 + self._counts) if self._ties else known

    def update(self, batch: EdgeLog) -> None:
        """Remember the batch's pairs."""
        self._known[batch.users, batch.items] = True
        np.add.at(self._counts, batch.items, 1.0)


class Tiers:
    """First the user's own items by decayed count, then the others by decayed popularity."""

    def __init__(self, n_users: int, n_items: int, own_half_life_ms: float, popularity_half_life_ms: float) -> None:
        self._own = DecayedCounts((n_users, n_items), own_half_life_ms)
        self._popularity = Popularity(n_items, popularity_half_life_ms)

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Table:
        """``[n, n_items]`` log2 of the user's decayed count, one tier above log2 of the decayed popularity."""
        own = self._own.table[users] - self._own.at(ts)
        return np.where(own > -np.inf, own, self._popularity.scores(users, ts, seq) - 2 * TIER)

    def update(self, batch: EdgeLog) -> None:
        """Count the batch on both tiers."""
        self._own.add((batch.users, batch.items), batch.ts)
        self._popularity.update(batch)


class Recency:
    """First the user's own items, the latest first, then the others by popularity decayed over a day.

    The strongest of these event by event: the next edit is mostly of the page edited last.
    """

    def __init__(self, n_users: int, n_items: int, popularity_half_life_ms: float = DAY_MS) -> None:
        self._last = np.full((n_users, n_items), -1, dtype=np.int64)
        self._popularity = Popularity(n_items, popularity_half_life_ms)

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Table:
        """``[n, n_items]`` minus the number of log places since the pair's last event, one tier above popularity."""
        last = self._last[users]
        return np.where(last >= 0, last - seq[:, None], self._popularity.scores(users, ts, seq) - 1e12)

    def update(self, batch: EdgeLog) -> None:
        """Note each pair's last place."""
        np.maximum.at(self._last, (batch.users, batch.items), batch.seq)
        self._popularity.update(batch)


SIMPLE_SCORERS: dict[str, Callable[[int, int], LinkScorer]] = {
    "popularity": lambda n_users, n_items: Popularity(n_items),
    "decayed-popularity": lambda n_users, n_items: Popularity(n_items, 10 * MINUTE_MS),
    "edgebank": lambda n_users, n_items: EdgeBank(n_users, n_items),
    "edgebank-popularity": lambda n_users, n_items: EdgeBank(n_users, n_items, ties_by_popularity=True),
    "tiers": lambda n_users, n_items: Tiers(n_users, n_items, HOUR_MS, DAY_MS),
    "recency": lambda n_users, n_items: Recency(n_users, n_items),
}
"""Name to ``(n_users, n_items) -> scorer``. Half-lives are round figures, fitted to nothing."""
