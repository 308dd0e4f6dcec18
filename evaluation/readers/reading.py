"""Reading a log: find the layout, resolve the columns, apply the rules, sort by time, and say what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dyngraph.events import EventType
from evaluation.readers.catalogue import Catalogue, read_catalogue
from evaluation.readers.columns import (
    CATALOGUE_ROLES,
    INTERACTION_ROLES,
    REQUIRED_OF_INTERACTIONS,
    check_mapping,
    notes_on_unread,
    require,
    resolve,
)
from evaluation.readers.errors import DataFileError, Problem, shown
from evaluation.readers.layouts import find_layout, log_name
from evaluation.readers.layouts.layout import RawLog
from evaluation.readers.log import SCHEMA, InteractionLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import patient_bar
from evaluation.readers.text import check_encoding
from evaluation.readers.tidy import Findings, event_types, ids, numbers, times

SAME_EVENT = ("user_id", "item_id", "event_type", "ts")


@dataclass(frozen=True)
class Reading:
    """A log as far as it could be read, with its problems; ``log`` is only to be used when there are none."""

    log: InteractionLog
    layout: str
    problems: list[Problem]
    n_problems: int
    in_time_order: bool
    duplicates: int


def read_log(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    tz: str | None = None,
    encoding: str | None = None,
    assume_sorted: bool = False,
    drop_duplicates: bool = False,
) -> InteractionLog:
    """Read a log in any known layout (:data:`evaluation.readers.layouts.LAYOUTS`), in stable time order.

    ``mapping`` names columns that are called unusually (role to column), ``tz`` the zone of naive times
    (default UTC), ``encoding`` that of text files (default UTF-8, or what the layout prescribes). Without an event
    type, a ``rating`` column makes the events ratings; otherwise they are views, the weakest claim, unless the layout
    knows better. Rows out of time order are sorted, or refused with ``assume_sorted``. Repeated rows are kept, as they
    are events; ``drop_duplicates`` keeps the first of each (user, item, event type, time). Whatever is left out is
    counted in ``InteractionLog.dropped``, whatever is assumed is said in its ``notes``.

    Raises :class:`DataFileError` at the first problem, with its line.
    """
    reading = scan(path, ReadOptions(mapping or {}, tz, encoding, assume_sorted, drop_duplicates))
    if reading.problems:
        more = reading.n_problems - 1
        rest = f" (and {more} more; `evergraph validate` lists them)" if more else ""
        raise DataFileError(f"{reading.problems[0]}{rest}")
    return reading.log


def scan(path: Path, options: ReadOptions) -> Reading:
    """Read as much as can be read, collecting problems instead of stopping at the first.

    Raises :class:`DataFileError` only where the file as a whole cannot be used.
    """
    check_encoding(options.encoding)
    path = Path(path)
    layout, file = find_layout(path)
    with patient_bar(f"reading {file.path.name}") as bar:
        raw = layout.read(file, options, bar)
        bar.stage(f"putting {file.path.name} in order")
        return _tidied(raw, log_name(path, file), layout.name, options)


def _tidied(raw: RawLog, name: str, layout: str, options: ReadOptions) -> Reading:
    table, items = raw.interactions, raw.items
    check_mapping(options.mapping, {str(t.path): t.frame.columns for t in (table, items) if t is not None})
    mapping = {**raw.roles, **options.mapping}
    roles = resolve(table.frame.columns, INTERACTION_ROLES, mapping)
    require(str(table.path), table.frame.columns, roles, REQUIRED_OF_INTERACTIONS)
    if items is None:
        roles = {**resolve(table.frame.columns, CATALOGUE_ROLES, mapping), **roles}
    events = _events(raw, roles, options)
    catalogue = _catalogue_of(events, raw, options.mapping)
    problems, n_problems = events.findings.problems(), events.findings.count
    if items is not None:
        problems += catalogue.findings.problems()
        n_problems += catalogue.findings.count
    if not problems and events.frame.is_empty():
        raise DataFileError(f"{table.path}: no row holds an interaction; at least one is needed")
    notes = [*table.notes, *raw.notes, *events.notes, *(items.notes if items else ()), *catalogue.notes]
    log = InteractionLog(name, events.frame, catalogue.items, {**events.dropped, **catalogue.dropped}, notes)
    return Reading(log, layout, problems, n_problems, events.in_time_order, events.duplicates)


@dataclass(frozen=True)
class _Events:
    """Sorted interactions, and what the catalogue needs if it stands in the same rows."""

    frame: pl.DataFrame
    findings: Findings
    dropped: dict[str, int]
    notes: list[str]
    in_time_order: bool
    duplicates: int
    file_order: pl.DataFrame
    order: pl.Series


def _events(raw: RawLog, roles: Mapping[str, str], options: ReadOptions) -> _Events:
    table = raw.interactions
    findings = Findings.of(table, roles)
    ts, how = times(findings, options.tz)
    types, notes = _types(findings, raw.event_type)
    columns = {
        "user_id": ids(findings, "user_id"),
        "item_id": ids(findings, "item_id"),
        "event_type": types,
        "ts": ts,
        "value": numbers(findings, "value") if "value" in roles else pl.repeat(None, len(ts), eager=True),
    }
    file_order = pl.DataFrame(columns, schema_overrides=SCHEMA)
    kept = file_order.with_row_index("row").filter(~findings.ignored)
    in_time_order = kept["ts"].drop_nulls().is_sorted()
    if not in_time_order:
        if options.assume_sorted:
            raise DataFileError(str(_first_violation(findings, kept)))
        notes.append("rows were not in time order: sorted (stable)")
        kept = kept.sort("ts", maintain_order=True)
    dropped = dict(findings.dropped)
    duplicates = kept.height - kept.drop("row").n_unique()
    if raw.once or options.drop_duplicates:
        first = kept.unique(SAME_EVENT, keep="first", maintain_order=True)
        if first.height < kept.height:
            dropped["repeated (user, item, event type, time)"] = kept.height - first.height
        kept = first
    elif duplicates:
        notes.append(f"{duplicates:,} rows repeat another one exactly: kept, as each is an event")
    frame = kept.drop("row")
    notes = [how, *notes, *_what_is_odd(frame), *notes_on_unread(table.frame.columns, set(roles.values()))]
    return _Events(frame, findings, dropped, notes, in_time_order, duplicates, file_order, kept["row"])


def _types(findings: Findings, known: EventType | None) -> tuple[pl.Series, list[str]]:
    """Event types ``[rows]``, and a note where the file has none."""
    if "event_type" in findings.roles:
        return event_types(findings), []
    is_rated = findings.roles.get("value", "").lower() == "rating"
    assumed = known or (EventType.RATING if is_rated else EventType.VIEW)
    types = pl.repeat(int(assumed), findings.table.frame.height, eager=True)
    return types, [f"there is no event type: every row is a {assumed.label}"]


def _first_violation(findings: Findings, kept: pl.DataFrame) -> Problem:
    """The first row that is earlier than the latest before it, with both times as written."""
    timed = kept.drop_nulls("ts")
    latest = timed["ts"].cum_max()
    place = int((timed["ts"] < latest).arg_max() or 0)
    before = int((timed["ts"] == latest[place]).arg_max() or 0)
    written = findings.table.frame[findings.roles["ts"]]
    row, earlier = (int(timed["row"][at]) for at in (place, before))
    return findings.table.problem(
        row,
        f"its time {shown(written[row])} is before {shown(written[earlier])} of {findings.table.unit} "
        f"{findings.table.line_of(earlier)}, though the file was said to be sorted; sort it by time, or leave out "
        "--assume-sorted",
    )


def _what_is_odd(frame: pl.DataFrame) -> list[str]:
    """Notes on logs that read well and still cannot show what a reader may hope for."""
    notes = []
    if frame.height > 1 and frame["user_id"].n_unique() == 1:
        notes.append("all events are of one user: nothing can be learned from what others did")
    if frame.height > 1 and frame["ts"].n_unique() == 1:
        notes.append("all events carry one time: their order is that of the file")
    return notes


def _catalogue_of(events: _Events, raw: RawLog, mapping: Mapping[str, str]) -> Catalogue:
    """Items of their own file, or the first word on each item in the interactions' rows."""
    table = raw.items
    if table is not None:
        roles = resolve(table.frame.columns, CATALOGUE_ROLES, {**raw.item_roles, **mapping})
        require(str(table.path), table.frame.columns, roles, ("item_id",))
        findings = Findings.of(table, roles)
        catalogue = read_catalogue(findings, ids(findings, "item_id"))
        missing = events.frame["item_id"].n_unique() - len(
            set(events.frame["item_id"].unique()) & {item.item_id for item in catalogue.items}
        )
        return catalogue.noting(f"{missing:,} items with interactions are not in the catalogue" if missing else "")
    if not set(CATALOGUE_ROLES) - {"item_id"} & set(events.findings.roles):
        return Catalogue([], events.findings)
    catalogue = read_catalogue(events.findings, events.file_order["item_id"], events.order)
    return catalogue.noting("the catalogue is the first word on each item in the interactions' rows")
