"""What the refresh policy keeps of each user row."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.growable import Growable
from dyngraph.state import State

Ints = NDArray[np.int64]

SOURCES = 8
"""Item rows that stand for what a profile was made from."""


class People:
    """Columns by user row: 60 bytes a user."""

    def __init__(self) -> None:
        self._known = Growable((), torch.int64, fill=-1)
        self._asked = Growable((), torch.int64, fill=-1)
        self._asked_at = Growable((), torch.int64)
        self._segment = Growable((), torch.int32)
        self._sources = Growable((SOURCES,), torch.int32)
        self._columns = {
            "known": self._known,
            "asked": self._asked,
            "asked_at": self._asked_at,
            "segment": self._segment,
            "sources": self._sources,
        }
        self.grow(1)

    @property
    def known(self) -> Ints:
        """``[users]`` horizon (ms) of the newest profile when it was last looked at, -1 for none."""
        known: Ints = self._known.rows
        return known

    @property
    def asked(self) -> Ints:
        """``[users]`` horizon (ms) of the newest job, -1 for none."""
        asked: Ints = self._asked.rows
        return asked

    @property
    def asked_at(self) -> Ints:
        """``[users]`` events that the shard had seen when that job was asked for."""
        asked_at: Ints = self._asked_at.rows
        return asked_at

    @property
    def segment(self) -> NDArray[np.int32]:
        """``[users]`` number of the profile's segment."""
        segment: NDArray[np.int32] = self._segment.rows
        return segment

    @property
    def sources(self) -> NDArray[np.int32]:
        """``[users, 8]`` item rows that stand for what the newest job was about, then 0."""
        sources: NDArray[np.int32] = self._sources.rows
        return sources

    def grow(self, length: int) -> None:
        """Make room for ``length`` users."""
        for column in self._columns.values():
            column.grow(length)

    def forget(self, user: int) -> None:
        """Return one user to what a user never seen has."""
        for column in self._columns.values():
            column.view[user] = column.fill

    def state(self) -> State:
        """All columns."""
        return {name: column.view for name, column in self._columns.items()}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, column in self._columns.items():
            column.replace(state[name])
