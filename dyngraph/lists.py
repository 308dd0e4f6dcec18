"""What the engine answers with: ranked, explained lists."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dyngraph.order import Moment


class RankedItem(msgspec.Struct, frozen=True):
    """One place of a list. ``score`` is on the ranker's scale: only its order means something."""

    item_id: str
    title: str
    score: float
    rank: int
    source: str
    """The source whose features gave most of the score."""
    reasons: list[str]


class RecommendationList(msgspec.Struct, frozen=True):
    """A user's list and the newest event that could have influenced it."""

    user_id: str
    horizon: Moment
    items: list[RankedItem]


class Filters(msgspec.Struct, frozen=True):
    """What must not be shown."""

    exclude: Sequence[str] = ()
    hide_seen: bool = False
    """Leave out items the user has met."""


class HistoryEntry(msgspec.Struct, frozen=True):
    """One edge of a user, as kept in the graph."""

    item_id: str
    title: str
    event_type: str
    ts: int
