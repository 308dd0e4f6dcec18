"""User profiles as graph data: what an LLM, or counting, made of a user's history up to a horizon.

A profile may be used for events strictly later than its horizon only (the no-future rule of every artefact). The last
three versions of a user are kept, so that a query between two horizons sees the version that counted then.
"""

from __future__ import annotations

import msgspec

FACETS = ("segment", "interests", "categories", "brands")
"""The four facets of a profile, in the order of every array that has one row per facet (DynLLM)."""


class UserProfile(msgspec.Struct, frozen=True):
    """One version of a user's profile."""

    user_id: str
    ts: int
    """Horizon: event time, ms, of the newest event that it was made from."""
    offset: int
    """Horizon: offset of that event in the log of the user's partition, -1 where there is no log."""
    events: int
    """How many events the user had up to the horizon."""
    facets: tuple[tuple[str, ...], ...]
    """Phrases of each facet of :data:`FACETS`, the most telling first."""
    vectors: bytes
    """Float16, little endian, ``[4, w]``: one text vector per facet, zeros where a facet has no phrases."""
    producer: str
    """Who made it: ``endpoint``, ``embedded`` or ``statistical``."""
    model_id: str = ""
    prompt_version: str = ""
    created_at: int = 0
    """Wall clock, ms; tells what it cost in time, never what counts."""
