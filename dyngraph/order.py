"""The one total order of events, on which every "strictly earlier" in the project rests."""

from __future__ import annotations

from typing import NamedTuple


class Moment(NamedTuple):
    """A place in the order ``(ts, seq)``: event time in ms UTC, then the place in the shard's log.

    Tuple comparison *is* the order, so an edge is strictly earlier than a query when its moment is smaller:

    >>> Moment(1000, 7) < Moment(1000, 8) < Moment(1001, 0)
    True
    """

    ts: int
    seq: int

    def next(self) -> Moment:
        """The first moment that sees everything up to and including this one.

        >>> Moment(1000, 7).next()
        Moment(ts=1000, seq=8)
        """
        return Moment(self.ts, self.seq + 1)


BEGINNING = Moment(-1, -1)
"""Earlier than every event: the horizon of an empty state."""
