"""How far the newest profiles reach, without their vectors: asked for every touched user after every step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dyngraph.profiles import ProfileStore

Ints = NDArray[np.int64]


class Horizons(NamedTuple):
    """Of the newest profile of n users."""

    ts: Ints
    """``[n]`` ms, -1 where there is none."""
    events: Ints
    """``[n]`` the user's events up to it, 0 where there is none."""


def newest_horizons(profiles: ProfileStore, users: Ints) -> Horizons:
    """Of the user rows ``users [n]``; rows that the store has never met have no profile."""
    # The store's own reading, `counting`, gathers the vectors too: 4 ms for 256 users at width 384, against 20 µs.
    slots, ts, events = profiles._slots.rows, profiles._ts.rows, profiles._events.rows
    known = users < len(slots)
    slot = np.where(known, slots[np.where(known, users, 0)], 0) if len(slots) else np.zeros_like(users)
    newest = ts[slot].argmax(1)
    return Horizons(ts[slot, newest], events[slot, newest])
