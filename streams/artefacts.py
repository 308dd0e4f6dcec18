"""Profiles between the form that the graph keeps and the one that travels."""

from __future__ import annotations

from typing import Any

from dyngraph.profiles import FACETS, UserProfile
from streams.messages import HALF, Cost, Horizon, LlmJob, Profile

MAX_PHRASE = 200


def profile_message(profile: UserProfile, job: LlmJob, *, vector_model: str, cost: Cost) -> Profile:
    """The published form of what `job` asked for. Versions grow with the horizon's place in the log."""
    producer: Any = profile.producer
    # A brand of the catalogue may be longer than a phrase may be.
    facets: dict[str, Any] = {
        name: tuple(phrase[:MAX_PHRASE] for phrase in phrases if phrase)
        for name, phrases in zip(FACETS, profile.facets, strict=True)
    }
    return Profile(
        entity_id=profile.user_id,
        version=profile.offset + 1,
        horizon=Horizon(ts_ms=max(profile.ts, 0), offset=profile.offset, partition=job.horizon.partition),
        producer=producer,
        model_id=profile.model_id or "none",
        prompt_version=profile.prompt_version or "none",
        created_at_ms=profile.created_at,
        cost=cost,
        source_items=tuple(entry.item_id for entry in job.past),
        events=profile.events,
        erasures=job.erasures,
        vectors=profile.vectors,
        vector_model=vector_model if profile.vectors else "",
        vector_width=len(profile.vectors) // (len(FACETS) * HALF),
        **facets,
    )


def user_profile(message: Profile, width: int) -> UserProfile:
    """What the graph keeps of a published profile; without vectors its facets weigh nothing, `width` numbers each."""
    return UserProfile(
        user_id=message.entity_id,
        ts=message.horizon.ts_ms,
        offset=message.horizon.offset,
        events=message.events,
        facets=tuple(tuple(getattr(message, name)) for name in FACETS),
        vectors=message.vectors or bytes(len(FACETS) * HALF * width),
        producer=message.producer,
        model_id=message.model_id,
        prompt_version=message.prompt_version,
        created_at=message.created_at_ms,
    )
