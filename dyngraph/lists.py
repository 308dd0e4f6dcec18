"""What the engine answers with: ranked, explained lists; and what may be asked of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dyngraph.events import EventType
from dyngraph.order import Moment


class RankedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place of a list. ``score`` is on the ranker's scale: only its order means something."""

    item_id: str
    title: str
    score: float
    rank: int
    source: str
    """The source whose features gave most of the score."""
    reasons: list[str]
    probability: float | None = None
    """Of an exploration slot: the chance that just this item was shown there."""


class RecommendationList(msgspec.Struct, frozen=True):
    """A user's list and the newest event that could have influenced it."""

    user_id: str
    horizon: Moment
    items: list[RankedItem]


class Filters(msgspec.Struct, frozen=True):
    """What must not be shown. An empty sequence or None does not restrict.

    An item that the catalogue does not know passes only where nothing is asked that the catalogue would have to answer.
    Raises ValueError for an impression in ``hide_after``: what was only shown is not in the graph.
    """

    exclude: Sequence[str] = ()
    """Item ids."""
    hide_seen: bool = False
    """Leave out items the user has met, in whatever way."""
    hide_after: Sequence[EventType] = ()
    """Leave out items that the user had an event of one of these types with: what was bought, not what was viewed."""
    categories: Sequence[str] = ()
    """Only items in at least one of these. A name stands for a whole path, for where it begins, or for one level."""
    without_categories: Sequence[str] = ()
    """No item in any of these."""
    brands: Sequence[str] = ()
    """Only items of one of these."""
    price_min: float | None = None
    price_max: float | None = None
    """Both inclusive; an item without a price fits neither."""
    available_only: bool = True
    """False also lists what is out of stock; an item withdrawn from the catalogue is never listed."""

    def __post_init__(self) -> None:
        if EventType.IMPRESSION in self.hide_after:
            raise ValueError(
                "hide_after names impression, but what was only shown is not kept; use types of interest, or exclude"
            )

    @property
    def narrow(self) -> bool:
        """Whether few items may be left, so that proposals made without knowing the filters may miss them."""
        return bool(self.categories or self.brands or self.price_min is not None or self.price_max is not None)


class HistoryEntry(msgspec.Struct, frozen=True):
    """One edge of a user, as kept in the graph."""

    item_id: str
    title: str
    event_type: str
    ts: int
