"""Histories and a catalogue as arrays, for reasoning in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from llm_workers.producers.terms import Terms, brand_of, category_paths
from llm_workers.reasoning.evidence import Weigher, own_concept
from llm_workers.vectors.items import item_text


@dataclass(frozen=True)
class Histories:
    """What U users took, one after the other, oldest first."""

    items: NDArray[np.int32]
    """``[E]`` item codes."""
    borders: NDArray[np.int64]
    """``[U + 1]``: user u's events are ``borders[u]:borders[u + 1]``."""

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int] | NDArray[np.integer]]) -> Histories:
        """One sequence of item codes per user."""
        arrays = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        borders = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(array) for array in arrays], out=borders[1:])
        return cls(np.concatenate(arrays) if arrays else np.zeros(0, np.int32), borders)

    @property
    def users(self) -> int:
        """U."""
        return len(self.borders) - 1

    def lengths(self) -> NDArray[np.int64]:
        """``[U]`` events of each user."""
        return np.diff(self.borders)


class ItemArrays(NamedTuple):
    """Of N items, as the kernels take them; 0 stands for "none" in every column of codes."""

    brand: NDArray[np.int32]
    """``[N]`` concept code of the brand."""
    categories: NDArray[np.int32]
    """``[N, C]`` concept codes of the category levels, 0 at the end."""
    own: NDArray[np.int32]
    """``[N]`` concept code of what the item is about by itself."""
    text: NDArray[np.int32]
    """``[N]`` equal for items of equal text."""
    alphabet: NDArray[np.int32]
    """``[N]`` place of the item's id among all ids in order, for ties."""
    brand_value: NDArray[np.float64]
    """``[concepts]`` how telling a code is as a brand, 0 to 1."""
    category_value: NDArray[np.float64]
    """``[concepts]`` how telling it is as a category."""
    vectors: NDArray[np.float32]
    """``[N, w]`` text vectors of length 1 or 0; w = 0 without."""


@dataclass(frozen=True)
class CodedCatalogue:
    """A catalogue as arrays."""

    ids: list[str]
    """Of each code."""
    concepts: list[str]
    """Name of each concept code; entry 0 is empty."""
    arrays: ItemArrays

    @classmethod
    def of(cls, items: Sequence[Item], vectors: NDArray[np.floating] | None = None) -> CodedCatalogue:
        """Code ``items``, the code of an item being its place; ``vectors`` ``[N, w]`` are their texts'.

        A place that is no item (a null row) holds an item without text that no history names. Raises ``ValueError``
        for vectors of another number.
        """
        if vectors is not None and len(vectors) != len(items):
            raise ValueError(f"vectors has {len(vectors)} rows for {len(items)} items: give one row per item")
        weigher = Weigher(Terms.of(items))
        brands = [brand_of(item) for item in items]
        levels = [sorted({level for path in category_paths(item) for level in path}) for item in items]
        own = [own_concept(item) for item in items]
        names = sorted({name for name in brands if name} | {name for row in levels for name in row})
        code = {"": 0} | {name: place for place, name in enumerate(names, start=1)}
        categories = np.zeros((len(items), max(map(len, levels), default=0)), np.int32)
        for row, found in enumerate(levels):
            categories[row, : len(found)] = [code[name] for name in found]
        texts: dict[str, int] = {"": 0}
        ids = [item.item_id for item in items]
        alphabet = np.empty(len(items), np.int32)
        alphabet[sorted(range(len(items)), key=ids.__getitem__)] = np.arange(len(items))
        arrays = ItemArrays(
            np.array([code[name] for name in brands], np.int32),
            categories,
            np.array([code[name] for name in own], np.int32),
            np.array([texts.setdefault(item_text(item), len(texts)) for item in items], np.int32),
            alphabet,
            np.array([0.0, *(weigher.telling("brands", name) for name in names)]),
            np.array([0.0, *(weigher.telling("categories", name) for name in names)]),
            np.ascontiguousarray(vectors if vectors is not None else np.zeros((len(items), 0)), np.float32),
        )
        return cls(ids, ["", *names], arrays)
