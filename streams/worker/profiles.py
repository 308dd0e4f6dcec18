"""What a worker tells of the profiles that its shards hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dyngraph.profiles import FACETS, UserProfile
from dyngraph.shard import Shard


def shown(profile: UserProfile, now_ms: int) -> dict[str, object]:
    """A profile for people, JSON-able; ages against `now_ms`."""
    return {
        "user_id": profile.user_id,
        "horizon": {"ts_ms": profile.ts, "offset": profile.offset},
        "age_s": round(max(now_ms - profile.ts, 0) / 1000, 3),
        "events": profile.events,
        "facets": dict(zip(FACETS, profile.facets, strict=True)),
        "has_vectors": any(profile.vectors),
        "producer": profile.producer,
        "model_id": profile.model_id,
        "prompt_version": profile.prompt_version,
        "created_at_ms": profile.created_at,
    }


def profile_of(shard: Shard, user_id: str) -> dict[str, object] | None:
    """The newest profile of a user, None where there is none."""
    graph = shard.engine.graph
    row = graph.user_ids.find([user_id])
    found = graph.profiles.newest(int(row[0])) if int(row[0]) else None
    return None if found is None else shown(found, shard.now().ts)


def profile_figures(shard: Shard, users: Sequence[str]) -> dict[str, object]:
    """How many profiles there are, why others were refused, and how old those are that `users` are listed with."""
    graph = shard.engine.graph
    rows = graph.user_ids.find(list(dict.fromkeys(users)))
    now = shard.now().ts
    horizons = graph.profiles.counting(rows, torch.full_like(rows, now)).ts
    ages = sorted(round((now - ts) / 1000, 3) for ts in horizons.tolist() if ts >= 0)
    return {
        "profiles": len(graph.profiles),
        "refused": dict(graph.profiles.refused),
        "listed_users": len(rows),
        "with_profile": len(ages),
        "age_s": {"p50": ages[len(ages) // 2], "max": ages[-1]} if ages else {"p50": None, "max": None},
    }
