"""What is known of items besides who touched them: titles for people, and what filters ask for.

The catalogue comes from a compact topic (or an item file) and is not ordered with the interactions: it decides what may
be shown and how it is named, and gives brands and categories to the source of that name. An entry may come long before
anyone touches the item, or long after; one that comes while events are learned from changes what is learned, which a
replay can only repeat if it has the catalogue from the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile

import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.events import Item
from dyngraph.growable import Growable
from dyngraph.ids import IdTable
from dyngraph.labels import LabelTable

LEVELS = " > "
"""What separates the levels of a category path."""

Mask = NDArray[np.bool_]


class Catalogue:
    """Items by id, the latest description wins; and as columns by the row that ``rows`` gives them.

    Columns follow both tables when they are asked for: the cost is that of what is new since then.
    """

    def __init__(self, rows: IdTable) -> None:
        self.version = 0
        """Counts the changes, so that what was derived from entries knows when it is out of date."""
        self._ids = rows
        self._items: dict[str, Item] = {}
        self._changed: set[str] = set()
        self._changed_at: dict[str, int] = {}
        """By item, the version since which it is as it is; the latest change last."""
        self._rewritten = rows.rewritten
        self._start()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Iterable[Item]) -> None:
        """Add or replace descriptions."""
        for item in items:
            self._items[item.item_id] = item
            self._note(item.item_id)

    def remove(self, item_id: str) -> None:
        """Forget a description; an item unknown to the catalogue may still be recommended."""
        if self._items.pop(item_id, None) is not None:
            self._note(item_id)

    def get(self, item_id: str) -> Item | None:
        """An item's description, None where there is none."""
        return self._items.get(item_id)

    def items(self) -> list[Item]:
        """All descriptions."""
        return list(self._items.values())

    def title(self, item_id: str) -> str:
        """The item's title, or its id where the catalogue has none."""
        item = self._items.get(item_id)
        return item.title if item and item.title else item_id

    def changed_since(self, version: int) -> list[str]:
        """Ids of the items whose entries changed after :attr:`version` was this, sorted."""
        newest_first = reversed(self._changed_at.items())
        return sorted(item_id for item_id, _ in takewhile(lambda change: change[1] > version, newest_first))

    def _note(self, item_id: str) -> None:
        self.version += 1
        self._changed.add(item_id)
        self._changed_at.pop(item_id, None)
        self._changed_at[item_id] = self.version

    # -- by row -----------------------------------------------------------------------------------------------

    def available(self) -> Mask:
        """``[items]`` which rows may be sold, those without an entry too."""
        self._follow()
        available: Mask = ~(self._unavailable.rows | self._withdrawn.rows)
        return available

    def listed(self) -> Mask:
        """``[items]`` which rows were not withdrawn, whether in stock or not."""
        self._follow()
        listed: Mask = ~self._withdrawn.rows
        return listed

    def in_categories(self, names: Sequence[str]) -> Mask:
        """``[items]`` which rows are in one of the categories: a whole path, where one begins, or one level of it."""
        self._follow()
        return self._labels.bearers([_CATEGORY + name for name in names])

    def of_brands(self, names: Sequence[str]) -> Mask:
        """``[items]`` which rows have one of the brands."""
        self._follow()
        return self._labels.bearers([_BRAND + name for name in names])

    def priced(self, low: float | None, high: float | None) -> Mask:
        """``[items]`` which rows have a price from ``low`` to ``high``, both inclusive, None for no bound."""
        self._follow()
        price: NDArray[np.float64] = self._price.rows
        # Comparisons with NaN, which stands for no price, are false.
        return (price >= (-np.inf if low is None else low)) & (price <= (np.inf if high is None else high))

    def labels(self) -> NDArray[np.int32]:
        """``[items, width]`` numbers of each row's brand and categories, distinct, 0 for none."""
        self._follow()
        return self._labels.codes

    # -- following --------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Columns without any row but the null row."""
        self._labels = LabelTable()
        self._unavailable, self._withdrawn = Growable((), torch.bool), Growable((), torch.bool)
        self._price = Growable((), torch.float64, fill=np.nan)

    def _follow(self) -> None:
        """Bring the columns up to date with the entries and with the rows."""
        if self._rewritten != self._ids.rewritten:
            self._rewritten = self._ids.rewritten
            self._start()
        if len(self._price) == len(self._ids) and not self._changed:
            return
        changed = dict.fromkeys(self._ids.find(sorted(self._changed)).tolist())
        changed |= dict.fromkeys(range(max(len(self._price), 1), len(self._ids)))
        changed.pop(0, None)
        self._changed.clear()
        for column in (self._labels, self._unavailable, self._withdrawn, self._price):
            column.grow(len(self._ids))
        self._describe(list(changed))

    def _describe(self, rows: Sequence[int]) -> None:
        """Write the columns of ``rows`` anew."""
        entries = [self._items.get(self._ids[row], _UNKNOWN) for row in rows]
        self._unavailable.rows[rows] = [not item.available for item in entries]
        self._withdrawn.rows[rows] = [item.withdrawn for item in entries]
        self._price.rows[rows] = [np.nan if item.price is None else item.price for item in entries]
        self._labels.put({row: _labels(item) for row, item in zip(rows, entries, strict=True)})


_UNKNOWN = Item("")
_BRAND, _CATEGORY = "brand ", "category "
"""Set the two apart: a brand may be called as a category is."""


def _labels(item: Item) -> list[str]:
    """The brand, and the levels of all categories."""
    labels = [_BRAND + item.brand] if item.brand else []
    for path in item.categories:
        labels += _levels(path)
    return labels


@lru_cache(maxsize=100_000)
def _levels(path: str) -> tuple[str, ...]:
    """A category path's levels and beginnings, each once; kept, because many items share a path."""
    levels = path.split(LEVELS)
    beginnings = (LEVELS.join(levels[:depth]) for depth in range(1, len(levels) + 1))
    return tuple(dict.fromkeys(_CATEGORY + name for name in (*levels, *beginnings)))
