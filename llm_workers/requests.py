"""From a job to what a producer is handed: ids get the texts of the catalogue."""

from __future__ import annotations

from collections.abc import Callable

from dyngraph.events import Item
from dyngraph.refreshing import Wanted
from llm_workers.protocols import PastItem, ProfileRequest

Texts = Callable[[str], Item | None]
"""Gives the catalogue's entry of an item."""


def profile_request(wanted: Wanted, texts: Texts) -> ProfileRequest:
    """The request of a job."""
    past = tuple(past_item(texts, *entry) for entry in wanted.past)
    return ProfileRequest(wanted.user_id, wanted.ts, wanted.offset, wanted.events, past)


def past_item(texts: Texts, item_id: str, ts: int, weight: float) -> PastItem:
    """An entry of a past with the item's texts; an item that the catalogue does not know has none."""
    item = texts(item_id)
    if item is None:
        return PastItem(item_id, ts, weight)
    return PastItem(item_id, ts, weight, item.title, item.brand or "", item.categories)
