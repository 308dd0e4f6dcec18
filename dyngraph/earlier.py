"""What a batch's users did earlier in the same batch: not in any table yet, but known at the moment of the query.

A step ranks its whole batch before anything is written. Without this, a user with two moments in one batch would be
asked about the second one as if the first had not happened; how much that hides grows with the batch. Sources that know
the user apply these events to a copy of what they keep.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Earlier(NamedTuple):
    """Query q is preceded, within the batch, by the events ``start[q]:stop[q]`` of its user, in order."""

    start: NDArray[np.int64]
    """``[U]``"""
    stop: NDArray[np.int64]
    """``[U]``"""
    items: NDArray[np.int64]
    """``[M]`` item rows, 0 for an item that has no row yet."""
    ts: NDArray[np.int64]
    """``[M]`` ms."""
    seq: NDArray[np.int64]
    """``[M]``"""
    sign: NDArray[np.int8]
    """``[M]`` +1 taken, -1 refused or removed, 0 neither."""

    @classmethod
    def none(cls, queries: int) -> Earlier:
        """Nothing came earlier: lists are asked for between steps."""
        nothing, empty = np.zeros(queries, np.int64), np.zeros(0, np.int64)
        return cls(nothing, nothing, empty, empty, empty, np.zeros(0, np.int8))

    @classmethod
    def of(
        cls,
        people: NDArray[np.int64],
        items: NDArray[np.int64],
        ts: NDArray[np.int64],
        seq: NDArray[np.int64],
        sign: NDArray[np.int8],
    ) -> Earlier:
        """For each event of a batch in order (a query each): what its user did before it, also at the same moment.

        All columns are ``[B]``; ``people`` tells users apart, those without a row too.
        """
        order = np.argsort(people, kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        start = _runs(people[order])[back]
        return cls(start, back, items[order], ts[order], seq[order], sign[order])

    def baskets(self) -> tuple[Earlier, NDArray[np.int64], NDArray[np.int64]]:
        """The distinct baskets (one user, one ts) of the events that this was made of by :meth:`of`.

        Gives what came before each basket, an event ``[Q]`` of each, and the basket ``[B]`` of each event.
        """
        user = np.zeros(len(self.ts), np.int64)
        user[self.stop] = self.start
        begin = _runs(user, self.ts)[self.stop]
        stop, event, place = np.unique(begin, return_index=True, return_inverse=True)
        return self._replace(start=self.start[event], stop=stop), event, place


def _runs(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each place of a vector ``[n]`` where its run of equal values (of all columns together) begins."""
    fresh = np.ones(len(columns[0]), dtype=bool)
    fresh[1:] = False
    for column in columns:
        fresh[1:] |= column[1:] != column[:-1]
    return np.maximum.accumulate(np.where(fresh, np.arange(len(fresh)), 0))
