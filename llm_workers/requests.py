"""From a job to what a producer is handed: ids get the texts of the catalogue."""

from __future__ import annotations

from collections.abc import Callable

from dyngraph.events import Item
from dyngraph.refreshing import Wanted
from llm_workers.protocols import PastItem, ProfileRequest


def profile_request(wanted: Wanted, item: Callable[[str], Item | None]) -> ProfileRequest:
    """The request of a job; an item that the catalogue does not know has no text."""
    past = []
    for item_id, ts, weight in wanted.past:
        known = item(item_id) or Item(item_id)
        past.append(PastItem(item_id, ts, weight, known.title, known.brand or "", known.categories))
    return ProfileRequest(wanted.user_id, wanted.ts, wanted.offset, wanted.events, tuple(past))
