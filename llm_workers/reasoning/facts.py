"""A request looked up: items with their texts, and what is near what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dyngraph.events import Item
from dyngraph.refreshing import Related
from llm_workers.prompts.quoting import plain
from llm_workers.protocols import PastItem
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.requests import Texts, past_item
from llm_workers.vectors.items import item_text

LONGEST_NAME = 60
"""Characters of an item's name in a sentence."""


class Facts:
    """What a reasoner may know of one request."""

    def __init__(self, request: ReasoningRequest, texts: Texts) -> None:
        self.request = request
        self._texts = texts
        self._items: dict[str, PastItem] = {item.item_id: item for item in request.past}
        self._named = {related.other_id for related in request.neighbours}
        self._near: dict[str, dict[str, Related]] = {}
        for related in request.neighbours:
            others = self._near.setdefault(related.item_id, {})
            if related.other_id not in others or others[related.other_id].strength < related.strength:
                others[related.other_id] = related

    def item(self, item_id: str) -> PastItem:
        """An item with its texts; one that neither the request nor the catalogue knows has none."""
        found = self._items.get(item_id)
        if found is None:
            found = self._items[item_id] = past_item(self._texts, item_id, 0, 0.0)
        return found

    def exists(self, item_id: str) -> bool:
        """Whether the catalogue, or the request, knows of the item."""
        return self._texts(item_id) is not None or item_id in self._named

    def near(self, item_id: str) -> Mapping[str, Related]:
        """The item's relation neighbours, by their ids, each by its strongest relation."""
        return self._near.get(item_id, {})

    def text(self, item_id: str) -> str:
        """Title, brand and categories in one line; empty where nothing is known."""
        return text_of(self.item(item_id))


def text_of(item: PastItem) -> str:
    """Title, brand and categories in one line; empty for an item without text."""
    return item_text(Item(item.item_id, item.title, item.brand or None, item.categories))


def called(item: PastItem) -> str:
    """What to call an item in a sentence: its title, bounded, or its id."""
    name = plain(item.title, LONGEST_NAME + 1)
    return (name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1].rstrip()}…") or item.item_id


def texts_among(items: Sequence[PastItem]) -> dict[str, int]:
    """How many of the items bear each text; the empty one is left out."""
    counts: dict[str, int] = {}
    for item in items:
        if text := text_of(item):
            counts[text] = counts.get(text, 0) + 1
    return counts
