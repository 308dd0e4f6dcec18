"""Many users' histories in one array, where an example is nothing but a place: what came before it, and what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Places = NDArray[np.int64]


class Batch(NamedTuple):
    """Histories with what came next. Sequences are item rows, the oldest first, 0 behind the last."""

    sequences: Tensor
    """``[B, T]``."""
    lengths: Tensor
    """``[B]``, 1 or more."""
    targets: Tensor
    """``[B]`` item rows."""
    others: Tensor
    """``[B, T']`` another training history with the same next item, the example's own where there is none."""
    other_lengths: Tensor
    """``[B]``."""

    def to(self, device: torch.device) -> Batch:
        """The same on ``device``."""
        return Batch(*(part.to(device) for part in self))


@dataclass(frozen=True)
class Histories:
    """Items of all users, one user after the other, each in their order.

    The example at a place p asks for the item there, knowing the items of the same user before it and nothing else.
    """

    items: NDArray[np.int64]
    """``[E]`` item rows, from 1."""
    starts: Places
    """``[E]`` the place where the user's history begins."""

    @classmethod
    def of(cls, users: NDArray[np.int64], items: NDArray[np.int64]) -> Histories:
        """From ``[E]`` users, each in one piece, and their items. Raises ValueError for a user in several pieces."""
        new = np.flatnonzero(np.diff(users, prepend=users[:1] - 1))
        if len(np.unique(users[new])) < len(new):
            raise ValueError("a user's items stand in several pieces; sort them by user, keeping each user's order")
        return cls(items, np.repeat(new, np.diff(new, append=len(users))))

    def known(self, places: Places) -> NDArray[np.int64]:
        """``[B]`` how many items of the user came before each place."""
        known: NDArray[np.int64] = places - self.starts[places]
        return known

    def before(self, places: Places, longest: int) -> tuple[Tensor, Tensor]:
        """The latest ``longest`` items before each place: ``[B, T]`` padded behind to the longest of them, and their
        number ``[B]``. Raises ValueError for a user's first place, which has no history."""
        lengths = np.minimum(self.known(places), longest)
        if len(lengths) and not lengths.min():
            raise ValueError(f"place {places[lengths.argmin()]} is its user's first; ask for places with a history")
        steps = np.arange(lengths.max(initial=1))
        # Padding would reach beyond the place; what is read there is blanked.
        grid = np.minimum((places - lengths)[:, None] + steps, len(self.items) - 1)
        sequences = np.where(steps < lengths[:, None], self.items[grid], 0)
        return torch.from_numpy(sequences), torch.from_numpy(lengths)


class TrainingExamples:
    """Places to learn from, each as a history, its next item and another history with the same next item."""

    def __init__(self, histories: Histories, places: Places, longest: int) -> None:
        self.histories, self.places, self._longest = histories, places, longest
        targets = histories.items[places]
        self._by_target = places[np.argsort(targets, kind="stable")]
        counts = np.bincount(targets, minlength=int(histories.items.max(initial=0)) + 1)
        self._ends = np.cumsum(counts)
        self._counts = counts
        self._rank = np.zeros(len(histories.items), dtype=np.int64)
        self._rank[self._by_target] = np.arange(len(places)) - (self._ends - counts)[histories.items[self._by_target]]

    def batch(self, places: Places, rng: np.random.Generator) -> Batch:
        """The examples at some of :attr:`places`; ``rng`` draws each one's other history."""
        sequences, lengths = self.histories.before(places, self._longest)
        others, other_lengths = self.histories.before(self.another(places, rng), self._longest)
        return Batch(sequences, lengths, torch.from_numpy(self.histories.items[places]), others, other_lengths)

    def another(self, places: Places, rng: np.random.Generator) -> Places:
        """For each training place another one with the same item, evenly drawn; the same where there is none."""
        targets = self.histories.items[places]
        counts = self._counts[targets]
        # Drawn among the others: a step of 1 to count - 1 around the circle of places with this item never comes home.
        step = 1 + (rng.random(len(places)) * (counts - 1)).astype(np.int64)
        return self._by_target[self._ends[targets] - counts + (self._rank[places] + step) % counts]
