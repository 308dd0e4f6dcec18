"""What is known of items besides who touched them: titles for people, availability for filters.

The catalogue comes from a compact topic (or an item file) and is not ordered with the interactions, so it never
enters a score here; it decides only what may be shown and how it is named.
"""

from __future__ import annotations

from collections.abc import Iterable

from dyngraph.events import Item


class Catalogue:
    """Items by id; the latest description wins."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._hidden: set[str] = set()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Iterable[Item]) -> None:
        """Add or replace descriptions."""
        for item in items:
            self._items[item.item_id] = item
            (self._hidden.discard if item.available else self._hidden.add)(item.item_id)

    def remove(self, item_id: str) -> None:
        """Forget a description; an item unknown to the catalogue may still be recommended."""
        self._items.pop(item_id, None)
        self._hidden.discard(item_id)

    def items(self) -> list[Item]:
        """All descriptions."""
        return list(self._items.values())

    def title(self, item_id: str) -> str:
        """The item's title, or its id where the catalogue has none."""
        item = self._items.get(item_id)
        return item.title if item and item.title else item_id

    @property
    def hidden(self) -> frozenset[str]:
        """Ids that are known to be unavailable."""
        return frozenset(self._hidden)
