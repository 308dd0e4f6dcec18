"""The figures of an experiment as plain data: the JSON file is these structs, and a report shows nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from models.baselines.recommender import Setting

SCHEMA_VERSION = 1


class Line(msgspec.Struct, frozen=True):
    """Figures over one kind of events. None where there is no such event."""

    events: int
    users: int
    hr: float | None
    ndcg: float | None
    ndcg_low: float | None
    """Lower end of the 95 % interval of ``ndcg`` over users."""
    ndcg_high: float | None
    mrr: float | None


class Curve(msgspec.Struct, frozen=True):
    """Lists of equal length, one entry per drawn point."""

    evaluated: list[int]
    """Evaluated events up to the point."""
    ts: list[int]
    """Event time of the point, ms UTC."""
    ndcg: list[float]
    """Mean NDCG@k of the last ``window`` evaluated events."""
    coverage: list[float]
    """Share of the items seen so far that stood in a list so far."""


class ModelResult(msgspec.Struct, frozen=True):
    """One contender."""

    name: str
    settings: dict[str, Setting]
    lines: dict[str, Line]
    """`all`, and the kinds of events that there are: `repeat`, `first-time`, `cold users`, …"""
    coverage: float | None
    novelty: float | None
    """Mean self-information of the shown items, bits."""
    gini: float | None
    """Inequality of exposure over the items: 0 equal, 1 one item has it all."""
    curve: Curve

    @property
    def overall(self) -> Line:
        """Figures over all evaluated events."""
        return self.lines["all"]


class Comparison(msgspec.Struct, frozen=True):
    """NDCG@k of ``model`` minus that of ``other`` on the same events."""

    model: str
    other: str
    difference: float
    low: float
    """Lower end of the 95 % interval of the difference over users."""
    high: float
    relative: float | None
    """``difference`` over the other's NDCG@k; None where that is 0."""
    p: float
    """Two-sided bootstrap p-value."""
    p_holm: float
    """The same, adjusted for the number of comparisons (Holm 1979)."""
    intervals_apart: bool
    """Whether the two models' own intervals share no point."""
    margin: float | None = None
    """Relative difference that is asked for; None where none is."""
    margin_reached: bool | None = None


class DataFacts(msgspec.Struct, frozen=True):
    """The log that was walked."""

    name: str
    digest: str
    events: int
    users: int
    items: int
    first_ts: int
    last_ts: int
    evaluated: int
    dropped: dict[str, int]
    """Reason to the number of rows left out."""
    notes: list[str]

    @property
    def days(self) -> tuple[str, str]:
        """First and last day."""
        return day(self.first_ts), day(self.last_ts)


class Timing(msgspec.Struct, frozen=True):
    """How long one contender took. The only figures that another run changes."""

    seconds: float
    events_per_s: float


class Results(msgspec.Struct, frozen=True):
    """Everything an experiment found."""

    title: str
    data: DataFacts
    protocol: dict[str, Setting]
    models: list[ModelResult]
    comparisons: list[Comparison]
    notes: list[str]
    """What a reader has to know to read the figures rightly."""
    command: str
    """What to type to get the same figures."""
    versions: dict[str, str]
    machine: dict[str, str]
    timings: dict[str, Timing]
    schema_version: int = SCHEMA_VERSION

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.protocol["k"])


def day(ts: int) -> str:
    """The day of a time in ms UTC.

    >>> day(1_325_376_000_000)
    '2012-01-01'
    """
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d")
