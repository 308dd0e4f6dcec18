"""Names that somebody imagined, matched to items of the catalogue by text vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from llm_workers.protocols import TextEncoder
from llm_workers.reasoning.protocol import Match
from llm_workers.vectors.items import encode_items

CUT_OFF = 0.5
"""Least cosine of a name and an item's text."""
EQUAL = 1e-6
"""Cosines that differ by no more are of equal texts."""


class VectorMatcher:
    """A :class:`~llm_workers.reasoning.protocol.Matcher` over the items that it was given; the catalogue may grow."""

    def __init__(self, encoder: TextEncoder, *, cut_off: float = CUT_OFF) -> None:
        self._encoder, self._cut_off = encoder, cut_off
        self._rows: dict[str, int] = {}
        self._ids: list[str] = []
        self._vectors = np.zeros((64, encoder.width), np.float32)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, items: Iterable[Item]) -> None:
        """Encode items, new ones or anew; those without text are left out. Blocks."""
        for item, vector in encode_items(list(items), self._encoder):
            self.put(item.item_id, vector)

    def put(self, item_id: str, vector: NDArray[np.floating]) -> None:
        """An item with its vector ``[w]`` of length 1, in the place of the one that it had."""
        row = self._rows.setdefault(item_id, len(self._ids))
        if row == len(self._ids):
            self._ids.append(item_id)
            if row == len(self._vectors):
                self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[row] = vector

    def drop(self, item_id: str) -> None:
        """An item is no longer to be had."""
        if (row := self._rows.get(item_id)) is not None:
            self._vectors[row] = 0

    def likeness(self, one: str, other: str) -> float:
        """Cosine of two items' texts by their ids, 0 where one has none."""
        row, column = self._rows.get(one), self._rows.get(other)
        return 0.0 if row is None or column is None else float(self._vectors[row] @ self._vectors[column])

    async def match(self, names: Sequence[str], barred: Set[str]) -> list[Match | None]:
        """The most similar item that is not barred, if its cosine reaches the cut-off; of equal ones the first by
        id, whichever was put first.
        """
        if not names or not self._ids:
            return [None] * len(names)
        wanted = await asyncio.to_thread(self._encoder.encode, list(names))
        cosines = wanted.astype(np.float32) @ self._vectors[: len(self._ids)].T
        cosines[:, [row for item_id in barred if (row := self._rows.get(item_id)) is not None]] = -np.inf
        return [self._best(one) for one in cosines]

    def _best(self, cosines: NDArray[np.float32]) -> Match | None:
        most = float(cosines.max())
        if most < self._cut_off:
            return None
        return Match(min(self._ids[row] for row in np.flatnonzero(cosines >= most - EQUAL)), min(most, 1.0))
