"""What a query of LRD is computed from, as it was before the user's event: rows and gaps, so that everything learned
lies on the gradient path whenever the gradient is taken.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from dyngraph.protocols import Queries
from dyngraph.state import State
from models.sources.history import HistorySource

MINUTE_MS = 60_000


class Asked(NamedTuple):
    """n questions "what next for this user now?"."""

    users: Tensor
    """``[n]`` user rows, 0 for an unknown one."""
    past: Tensor
    """``[n, H]`` item rows, newest first, then 0."""
    minutes: Tensor
    """``[n, H]`` float32 since the last visit to each."""


class Examples(NamedTuple):
    """E events: the user of question e took item row ``items[e]``."""

    asked: Asked
    items: Tensor
    """``[E]``"""
    people: Tensor
    """``[E]`` user rows, also of those who had none yet when they were asked about."""

    @property
    def events(self) -> int:
        """E."""
        return int(self.items.shape[0])


def ask(history: HistorySource, queries: Queries, width: int) -> Asked:
    """The latest ``width`` items of the queries' users, as of the queries' moments."""
    past, when = history.visits(queries.users, width, queries.earlier)
    minutes = (queries.ts.unsqueeze(1) - when).clamp(min=0).float() / MINUTE_MS
    return Asked(queries.users, past, minutes * (past > 0))


def flat(examples: Examples) -> State:
    """Examples as named tensors."""
    return {**examples.asked._asdict(), "items": examples.items, "people": examples.people}


def restored(state: State) -> Examples:
    """Inverse of :func:`flat`."""
    return Examples(Asked(*(state[name] for name in Asked._fields)), state["items"], state["people"])
