"""Attribute values of the graph's items as codes: which category and which brand each has; follows the catalogue."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.catalogue import LEVELS
from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.state import State, packed, unpacked

ATTRIBUTES = ("category", "brand")
"""In the order of the columns."""


def category_of(item: Item) -> str:
    """The narrowest level of an item's first path; where categories have no levels, as genres, all of them together.

    >>> category_of(Item("i", categories=("Makeup > Nails > Nail Polish", "Gifts")))
    'Nail Polish'
    >>> category_of(Item("i", categories=("War", "Drama")))
    'Drama, War'
    """
    if any(LEVELS in path for path in item.categories):
        return item.categories[0].split(LEVELS)[-1].strip()
    return ", ".join(sorted(item.categories))


class ItemValues:
    """``[items, 2]`` codes: 0 where an item has no such value. Codes are given in order of first appearance."""

    def __init__(self) -> None:
        self._names: list[str] = [""]
        self._codes: dict[str, int] = {}
        self._table = Growable((len(ATTRIBUTES),), torch.int64)
        self._known, self._version = 1, -1
        self.grow(1)

    def __len__(self) -> int:
        """Codes given, that of no value included."""
        return len(self._names)

    @property
    def codes(self) -> Tensor:
        """``[items, 2]``; items that came after the last :meth:`follow` have none."""
        return self._table.view

    def grow(self, items: int) -> None:
        """Make room for this many rows."""
        self._table.grow(items)

    def truncate(self, items: int) -> None:
        """Undo growth."""
        self._table.truncate(items)
        self._known = min(self._known, items)

    def follow(self, graph: DynamicGraph) -> None:
        """Take in new items, and those whose entries in the catalogue have changed. To be called within a step only, so
        that codes follow from the log.
        """
        catalogue = graph.catalogue
        changed = graph.item_ids.find(catalogue.changed_since(self._version)).tolist()
        again = sorted(row for row in changed if 0 < row < self._known)
        for row in (*again, *range(self._known, len(self._table))):
            self._table.rows[row] = self._of(catalogue.get(graph.item_ids[row]))
        self._version, self._known = catalogue.version, len(self._table)

    def _of(self, item: Item | None) -> list[int]:
        if item is None:
            return [0] * len(ATTRIBUTES)
        return [self._code("category", category_of(item)), self._code("brand", item.brand or "")]

    def _code(self, attribute: str, value: str) -> int:
        if not value:
            return 0
        name = f"{attribute}:{value}"
        if name not in self._codes:
            self._codes[name] = len(self._names)
            self._names.append(name)
        return self._codes[name]

    def state(self) -> State:
        """Names in order of their codes, and the table."""
        return packed(self._names) | {"table": self._table.view}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`; the catalogue is looked at anew with the next :meth:`follow`."""
        self._names = unpacked({"bytes": state["bytes"], "ends": state["ends"]})
        self._codes = {name: code for code, name in enumerate(self._names) if code}
        self._table.replace(state["table"])
        self._known, self._version = 1, -1
