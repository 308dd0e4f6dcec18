"""What may be set about the work."""

from __future__ import annotations

import msgspec


class WorkConfig(msgspec.Struct, frozen=True):
    """Bounds and patience; seconds are those of the wall clock."""

    concurrency: int = 4
    """Profiles made at a time."""
    most_waiting: int = 10_000
    """Jobs that wait; beyond it the one of lowest priority is dropped."""
    ageing_s: float = 60.0
    """Waiting so long is worth as much as the whole range of priorities, so that nobody waits for good."""
    attempts: int = 5
    """How often a job is tried before it counts as failed."""
    first_wait_s: float = 1.0
    """Wait before the second attempt, twice as long before each further one; half of it is drawn by lot."""
    longest_wait_s: float = 60.0
    """It never gets longer, unless the server asks for more ..."""
    longest_rest_s: float = 3600.0
    """... and never longer than this."""
    deadline_s: float = 120.0
    """A producer that takes longer has failed."""
    remembered: int = 10_000
    """Users whose last finished horizon is known, so that a job delivered again is not done again."""

    def __post_init__(self) -> None:
        bounds = ("concurrency", "most_waiting", "attempts")
        for name in (*bounds, "ageing_s", "longest_wait_s", "longest_rest_s", "deadline_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"work setting {name} = {getattr(self, name)} must be above 0")
        for name in ("first_wait_s", "remembered"):
            if getattr(self, name) < 0:
                raise ValueError(f"work setting {name} = {getattr(self, name)} must not be negative")
