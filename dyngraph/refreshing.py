"""What a shard is handed to decide, after each step, whose LLM artefacts are worth renewing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from dyngraph.state import Stateful

if TYPE_CHECKING:
    from dyngraph.engine import Engine, StepResult


class Wanted(msgspec.Struct, frozen=True):
    """A newer profile of one user would be worth having; with all that it is to be made from."""

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


class Refresh(Stateful, Protocol):
    """A refresh policy. Its state is part of the shard's, so that a recovered shard asks for the same."""

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> list[Wanted]:
        """Take in what a step did (``offset``: the last one applied); tell which profiles to renew."""
        ...

    def forget_user(self, user: int) -> None:
        """Drop what is kept of one user row."""
        ...
