"""Which of a user's items a job carries, and how far the latest ones have moved away from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.sources.history import OwnItems
from models.sources.transitions import NOBODY

Ints = NDArray[np.int64]


@runtime_checkable
class History(Protocol):
    """What knows which items a user had: :class:`models.sources.history.HistorySource`."""

    def own_items(self, user: int, ts: int) -> OwnItems:
        """Those of one user row, oldest first, with counts decayed to ``ts`` (ms)."""
        ...

    def recent(self, users: Tensor, width: int) -> Tensor:
        """The latest ``width`` item rows ``[U, width]`` of ``users [U]``, newest first, then 0."""
        ...


@runtime_checkable
class Partners(Protocol):
    """What knows which items go together: :class:`models.sources.transitions.TransitionSource`."""

    def partners(
        self, items: Sequence[int], most: int, own: Mapping[int, float] = NOBODY
    ) -> list[list[tuple[int, str, float]]]:
        """For each item row its strongest partners: row, relation, strength in [0, 1]. Whoever took the rows ``own``,
        each so many times, is left out of what is counted.
        """
        ...


class AllPartners:
    """What several know, the strongest first."""

    def __init__(self, several: Sequence[Partners]) -> None:
        self._several = several

    def partners(
        self, items: Sequence[int], most: int, own: Mapping[int, float] = NOBODY
    ) -> list[list[tuple[int, str, float]]]:
        """For each item row up to ``most`` of each relation that any of them knows."""
        found = [one.partners(items, most, own) for one in self._several]
        return [
            sorted((pair for lists in found for pair in lists[place]), key=lambda pair: (-pair[2], pair[0]))
            for place in range(len(items))
        ]


def telling(own: OwnItems, newest: int, heaviest: int) -> OwnItems:
    """The ``newest`` items and, of the others, the ``heaviest``; oldest first. Of equal weight the later ones."""
    older = max(len(own.items) - newest, 0)
    chosen = np.arange(older, len(own.items))
    if older and heaviest:
        heavy = np.argsort(own.weight[:older], kind="stable")[-heaviest:]
        chosen = np.concatenate((np.sort(heavy), chosen))
    return OwnItems(own.items[chosen], own.last_ts[chosen], own.weight[chosen])


def times(own: OwnItems) -> dict[int, float]:
    """How often each item row was taken, as far as decayed counts can tell, once at least."""
    return dict(zip(own.items.tolist(), np.maximum(np.ceil(own.weight), 1.0).tolist(), strict=True))


def sample(items: Ints, size: int) -> Ints:
    """``[size]`` of ``items [n]``, evenly spread up to the last, then 0: enough to stand for their mean."""
    made = np.zeros(size, np.int64)
    if len(items) > size:
        made[:] = items[np.arange(1, size + 1) * len(items) // size - 1]
    else:
        made[: len(items)] = items
    return made


def distances(texts: NDArray[np.float32], then: NDArray[np.integer], now: NDArray[np.integer]) -> NDArray[np.float64]:
    """``[n]`` cosine distance between the mean text vectors of the item rows ``then [n, s]`` and ``now [n, k]``.

    ``texts [items, w]`` has zeros for the null row and for items without a text; 0 where either side has none at all.
    """
    before, after = texts[then].sum(1), texts[now].sum(1)
    length = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = np.einsum("nw,nw->n", before, after) / np.where(length > 0, length, 1.0)
    distance: NDArray[np.float64] = np.where(length > 0, 1.0 - cosine, 0.0).astype(np.float64)
    return distance
