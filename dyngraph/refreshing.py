"""What a shard is handed to decide, after each step, whose LLM artefacts are worth renewing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from dyngraph.reasoning import ReasoningGraph
from dyngraph.state import Stateful

if TYPE_CHECKING:
    from dyngraph.engine import Engine, StepResult


Kind = Literal["profile", "reasoning"]
"""What may be wanted of a user."""


class Related(msgspec.Struct, frozen=True, array_like=True):
    """What the graph knew of two items at a horizon."""

    item_id: str
    other_id: str
    relation: str
    """``together``, ``follows`` (the other comes right after the item), or a latent relation's name."""
    strength: float
    """0 to 1."""


class Wanted(msgspec.Struct, frozen=True):
    """A newer artefact of one user would be worth having; with all that it is to be made from."""

    user_id: str
    ts: int
    """Horizon: event time, ms, of the user's newest event."""
    offset: int
    """Horizon: the shard's applied offset."""
    events: int
    """The user's events so far."""
    past: tuple[tuple[str, int, float], ...]
    """Recent and telling items: id, ts (ms) of the user's last event with it, decayed count. Oldest first."""
    priority: float
    """0 to 1; what is more urgent goes first."""
    reason: str
    """In words: ``12 new events``, ``moved on to other items``, ``30 days old``."""
    kind: Kind = "profile"
    related: tuple[Related, ...] = ()
    """For reasoning: the strongest partners of the newest items."""
    previous: ReasoningGraph | None = None
    """For reasoning: the version that is to be gone on from."""


class Refresh(Stateful, Protocol):
    """A refresh policy. Its state is part of the shard's, so that a recovered shard asks for the same."""

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> list[Wanted]:
        """Take in what a step did (``offset``: the last one applied); tell which artefacts to renew."""
        ...

    def forget_user(self, user: int) -> None:
        """Drop what is kept of one user row."""
        ...
