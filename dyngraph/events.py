"""The events of the graph: plain, frozen and free of any transport.

Everything that changes graph state is an :class:`Interaction`; the wire formats of the topics live in
``streams`` and are turned into these structs at the edge, so that replay, training and live serving feed the
engine the very same thing.
"""

from __future__ import annotations

import enum

import msgspec

MAX_ID_BYTES = 256
"""Longest accepted user or item id, in UTF-8 bytes."""

MAX_TS_MS = 4_102_444_800_000
"""First refused event time: 2100-01-01T00:00:00Z in milliseconds."""


class UnknownEventType(ValueError):
    """Raised for an event type that is none of :class:`EventType`."""


class EventType(enum.IntEnum):
    """What a user did to an item. Value 0 is the padding type of empty neighbour slots."""

    VIEW = 1
    CLICK = 2
    CART = 3
    PURCHASE = 4
    RATING = 5
    LIKE = 6
    DISLIKE = 7
    REMOVE = 8
    IMPRESSION = 9

    @property
    def label(self) -> str:
        """The name on the wire, for example ``"purchase"``."""
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> EventType:
        """Parse a wire name.

        >>> EventType.of("purchase")
        <EventType.PURCHASE: 4>
        """
        try:
            return cls[label.upper()]
        except KeyError:
            known = ", ".join(event_type.label for event_type in cls)
            raise UnknownEventType(f"event_type {label!r} is unknown; use one of: {known}") from None


POSITIVE = frozenset(
    {
        EventType.VIEW,
        EventType.CLICK,
        EventType.CART,
        EventType.PURCHASE,
        EventType.RATING,
        EventType.LIKE,
    }
)
"""Event types that say "this user wants this item": targets of ranking and of learning."""

NEGATIVE = frozenset({EventType.DISLIKE, EventType.REMOVE})
"""Event types that lower an item for the user; never targets."""


class Interaction(msgspec.Struct, frozen=True, gc=False):
    """One timestamped event between a user and an item.

    ``ts`` is event time in milliseconds UTC; ``value`` a rating, quantity or price where the source has one.
    """

    event_id: str
    user_id: str
    item_id: str
    event_type: EventType
    ts: int
    value: float | None = None
    features: tuple[float, ...] | None = None
    """A vector that describes the event, as wide as the graph's ``edge_dim``; none counts as zeros."""


class Item(msgspec.Struct, frozen=True):
    """What is known of an item besides who touched it."""

    item_id: str
    title: str = ""
    brand: str | None = None
    categories: tuple[str, ...] = ()
    price: float | None = None
    available: bool = True
    """False while it cannot be had; it may come back."""
    withdrawn: bool = False
    """Taken out of the catalogue: never listed again, but what happened with it keeps its meaning."""
