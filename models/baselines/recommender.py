"""The one interface of every baseline: score all items for a user at a moment, then learn what the user did."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Setting = str | int | float | bool


class Basket(NamedTuple):
    """What one user did at one moment; learned as a whole, because no order within it is known."""

    user: int
    """User row, from 1."""
    ts: int
    """Event time, ms UTC."""
    items: NDArray[np.int64]
    """``[n]`` item rows, from 1, in the log's order; an item may stand there twice."""
    sign: NDArray[np.int8]
    """``[n]`` +1 taken, -1 refused or removed, 0 neither."""


class Recommender(Protocol):
    """Learns from a log basket by basket, in time order, and scores every item seen so far.

    Rows of users and items are given in order of first appearance, so the items seen so far are the rows up to the
    largest one learned. ``scores`` changes nothing.
    """

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    @property
    def settings(self) -> dict[str, Setting]:
        """What it was built with, for the report."""
        ...

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """``[1 + items]`` scores of all rows up to the largest item row learned; larger is better, entry 0 means
        nothing. ``user`` may be a row never learned; ``ts`` (ms) is not before the last basket learned.
        """
        ...

    def learn(self, basket: Basket) -> None:
        """Take in a basket."""
        ...


@runtime_checkable
class Follower(Recommender, Protocol):
    """A recommender that can go along with a user without learning.

    Leave-one-out hands validation events so, and a split in time everything after the train share if it is frozen:
    what a user did last is known, but no count or weight that others share has learned of it.
    """

    def follow(self, basket: Basket) -> None:
        """Take a basket into the user's own state. Rows grow as in ``learn``; nothing else changes."""
        ...
