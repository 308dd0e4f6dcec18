"""What a user's vector is computed from, as it was before the user's event: raw, so that everything learned lies on the
gradient path whenever the gradient is taken.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.graph import DynamicGraph
from dyngraph.profiles import ProfileStore
from dyngraph.protocols import Queries
from dyngraph.state import State

DAY_MS = 86_400_000


class Asked(NamedTuple):
    """n questions "what next for this user now?"; no row is shared with any store."""

    users: Tensor
    """``[n]`` user rows, 0 for an unknown one."""
    temporal: Tensor
    """``[n, D]`` temporal embeddings."""
    away: Tensor
    """``[n]`` log(1 + days since the user's last event)."""
    facets: Tensor
    """``[n, V, 4, w]`` float16 facet texts of the versions that counted, oldest first."""
    valid: Tensor
    """``[n, V]`` bool, false where there is no such version."""
    age: Tensor
    """``[n, 2]`` of the newest version: log(1 + days)/5 since its horizon, log(1 + events)/5 of the user since."""


class Examples(NamedTuple):
    """E events: ``asked`` e met item row ``items[e]``, whose temporal vector was ``vectors[e]`` just before."""

    asked: Asked
    items: Tensor
    """``[E]``"""
    vectors: Tensor
    """``[E, D]``"""
    met: Tensor
    """``[E]`` int64 events of the item just before."""
    people: Tensor
    """``[E]`` the users' rows, those of newcomers too, so that an erasure finds them."""

    @property
    def events(self) -> int:
        """E."""
        return int(self.items.shape[0])


def ask(graph: DynamicGraph, profiles: ProfileStore, queries: Queries) -> Asked:
    """Gather what is known of the queries' users at the queries' moments."""
    users, ts = queries.users, queries.ts
    told = profiles.counting(users, ts)
    last, seen = graph.users.last_ts[users], graph.users.events[users]
    has = told.ts >= 0
    return Asked(
        users,
        queries.vectors,
        torch.where(last >= 0, _log_days(ts - last), 0.0),
        told.vectors.to(torch.float16),
        told.valid,
        torch.stack(
            (
                torch.where(has, _log_days(ts - told.ts) / 5, 0.0),
                torch.where(has, torch.log1p((seen - told.events).clamp(min=0).float()) / 5, 0.0),
            ),
            dim=1,
        ),
    )


def _log_days(ms: Tensor) -> Tensor:
    return torch.log1p(ms.clamp(min=0).float() / DAY_MS)


def flat(examples: Examples) -> State:
    """Examples as named tensors."""
    asked = {f"asked.{name}": value for name, value in examples.asked._asdict().items()}
    return asked | {
        "items": examples.items,
        "vectors": examples.vectors,
        "met": examples.met,
        "people": examples.people,
    }


def restored(state: State) -> Examples:
    """Inverse of :func:`flat`."""
    asked = Asked(*(state[f"asked.{name}"] for name in Asked._fields))
    return Examples(asked, state["items"], state["vectors"], state["met"], state["people"])
