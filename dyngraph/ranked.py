"""One ranking: the candidates of several queries with all that their scores are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dyngraph.earlier import Earlier
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Habits, Queries, Sets


@dataclass(frozen=True)
class Ranking:
    """U queries with C candidates each, F features of each of these."""

    queries: Queries
    seen: Sets | None
    """What the queries' users had met, where it was asked for."""
    items: Tensor
    """``[U, C]`` rows, 0 for none."""
    features: Tensor
    """``[U, C, F]``"""
    gates: Tensor
    """``[U, F]`` weights of the features."""
    context: Tensor
    """``[U, 6]``, see :func:`context_of`."""
    scores: Tensor
    """``[U, C]``, -inf for none."""


def context_of(graph: DynamicGraph, habits: Habits, users: Tensor, ts: Tensor, earlier: Earlier | None) -> Tensor:
    """``[U, 6]`` what the gates may depend on, each about 0 to 1: how much is known of the user, time away on a
    scale of days and on one of minutes, whether the user is unknown, share of repeats, number of baskets.
    """
    events, last = graph.users.events[users], graph.users.last_ts[users]
    if earlier is not None:
        more = torch.from_numpy(earlier.stop - earlier.start)
        events = events + more
        if len(earlier.ts):
            newest = torch.from_numpy(earlier.ts[np.maximum(earlier.stop - 1, 0)])
            last = torch.where(more > 0, newest, last)
    away = torch.where(last >= 0, (ts - last).clamp(min=0), 0).to(torch.float32)
    columns = (
        torch.log1p(events.to(torch.float32)) / 5,
        torch.log1p(away / 86_400_000) / 5,
        torch.log1p(away / 60_000) / 10,
        (events == 0).to(torch.float32),
    )
    return torch.cat((torch.stack(columns, dim=1), habits.habits(users, earlier)), dim=1)
