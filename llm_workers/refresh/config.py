"""What may be set about the refreshing of profiles and reasoning graphs."""

from __future__ import annotations

import msgspec


class RefreshConfig(msgspec.Struct, frozen=True):
    """Triggers, budget and bounds. Times are event times: no decision looks at a clock on the wall."""

    min_events: int = 3
    """Events of a user before a first profile is wanted."""
    new_events: int = 3
    """Fewest events since the profile's horizon that make it outdated."""
    growth: float = 0.25
    """The same as a share of the events that the profile was made from; the larger of the two holds, so that a user of
    n events costs O(log n) profiles."""
    max_age_days: float = 30.0
    """A profile whose horizon is so far behind is outdated by the user's next event."""
    drift: float = 0.5
    """Cosine distance (0 to 2), between the mean text vector of the items that the profile was made from and that of
    the user's latest items, that makes it outdated."""
    drift_items: int = 5
    """How many latest items that is. Looked at whenever as many new events have come."""
    patience: int = 20_000
    """Events of the shard after which a job without an answer is given up, and the user may be asked for again."""
    patience_minutes: float = 1.0
    """The user's next event must also be so much later than the job's horizon."""
    jobs_per_1000: int = 20
    """Budget: jobs per 1,000 events of the shard."""
    burst: int = 100
    """Most jobs that may be saved up."""
    most_waiting: int = 2_000
    """Users that wait for the budget; beyond it those of lowest priority are dropped, until their next event."""
    newest: int = 30
    """Items of the past that a job carries because they are recent ..."""
    heaviest: int = 20
    """... and because the user had them often, among the others."""
    related_items: int = 6
    """For reasoning: of so many newest items a job carries the strongest partners ..."""
    related: int = 8
    """... and so many of each relation."""
    segments: int = 64
    """Segments whose hit rates are watched; more of them count as one."""
    hit_rank: int = 10
    """An event is a hit if its item stood so high."""
    drift_delta: float = 0.002
    """ADWIN's significance: smaller means fewer false alarms."""

    def __post_init__(self) -> None:
        for name in (
            *("min_events", "new_events", "max_age_days", "drift", "drift_items", "patience", "burst"),
            *("most_waiting", "newest", "segments", "hit_rank"),
        ):
            self._refuse(getattr(self, name) <= 0, name, "must be above 0")
        for name in ("growth", "patience_minutes", "jobs_per_1000", "heaviest", "related_items", "related"):
            self._refuse(getattr(self, name) < 0, name, "must not be negative")
        self._refuse(not 0 < self.drift_delta < 1, "drift_delta", "must lie between 0 and 1")
        self._refuse(self.newest + self.heaviest > 64, "newest", "and heaviest may not pass 64 together")

    def _refuse(self, wrong: bool, name: str, rule: str) -> None:
        if wrong:
            raise ValueError(f"refresh setting {name} = {getattr(self, name)} {rule}")


class ReasoningRefreshConfig(RefreshConfig, frozen=True):
    """The same for reasoning graphs: they follow a user event by event, as far as the budget goes. Making one costs
    milliseconds even where it is counted, and encoding it some in the graph worker.
    """

    min_events: int = 2
    new_events: int = 1
    growth: float = 0.0
    newest: int = 40
    heaviest: int = 0
