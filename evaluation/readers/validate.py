"""Looking a file over before anything is done with it: figures, and the first problems with their lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dyngraph.events import EventType
from evaluation.readers.errors import Problem
from evaluation.readers.options import ReadOptions
from evaluation.readers.reading import scan


@dataclass(frozen=True)
class ValidationReport:
    """What a file holds, in which layout. ``span`` is first and last event time in ms UTC, None without any good time.

    ``users``, ``items`` and ``event_types`` count distinct ids and rows per type over the rows read;
    ``catalogue`` counts items with metadata; ``duplicates`` counts rows that repeat another one exactly
    (they are kept).
    """

    path: str
    layout: str
    rows: int
    users: int
    items: int
    catalogue: int
    span: tuple[int, int] | None
    event_types: dict[str, int]
    duplicates: int
    in_time_order: bool
    dropped: dict[str, int]
    notes: list[str]
    problems: list[Problem]
    n_problems: int

    @property
    def ok(self) -> bool:
        """Whether :func:`~evaluation.readers.read_log` would read the file."""
        return self.n_problems == 0

    def to_dict(self) -> dict[str, object]:
        """JSON-able, with stable keys; problems as lines."""
        return {**asdict(self), "ok": self.ok, "problems": [str(problem) for problem in self.problems]}


def validate_log(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    tz: str | None = None,
    encoding: str | None = None,
    assume_sorted: bool = False,
    drop_duplicates: bool = False,
) -> ValidationReport:
    """Look a log over, with the options of :func:`~evaluation.readers.read_log`.

    Bad rows become problems (20 of them worded, all counted). Raises :class:`DataFileError` where the file as a whole
    cannot be used: not found, unknown format, wrong encoding, missing column, out of order with ``assume_sorted``.
    """
    reading = scan(path, ReadOptions(mapping or {}, tz, encoding, assume_sorted, drop_duplicates))
    frame = reading.log.frame
    types = dict(frame["event_type"].drop_nulls().value_counts(sort=True).iter_rows())
    times = frame["ts"].drop_nulls()
    return ValidationReport(
        path=str(path),
        layout=reading.layout,
        rows=frame.height,
        users=frame["user_id"].drop_nulls().n_unique(),
        items=frame["item_id"].drop_nulls().n_unique(),
        catalogue=len(reading.log.items),
        span=(int(times.min()), int(times.max())) if len(times) else None,  # type: ignore[arg-type]
        event_types={EventType(code).label: count for code, count in types.items()},
        duplicates=reading.duplicates,
        in_time_order=reading.in_time_order,
        dropped=reading.log.dropped,
        notes=reading.log.notes,
        problems=reading.problems,
        n_problems=reading.n_problems,
    )
