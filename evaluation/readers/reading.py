"""Reading a log: resolve the columns, apply the rules, sort by time, and say what was done."""

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
    require,
    resolve,
)
from evaluation.readers.errors import DataFileError, Problem
from evaluation.readers.log import SCHEMA, InteractionLog
from evaluation.readers.sources import find_sources
from evaluation.readers.tables import Table, read_table
from evaluation.readers.tidy import Findings, event_types, ids, numbers, times


@dataclass(frozen=True)
class Reading:
    """A log as far as it could be read, with its problems; ``log`` is only to be used when there are none."""

    log: InteractionLog
    problems: list[Problem]
    n_problems: int
    in_time_order: bool
    duplicates: int


def read_log(path: Path, *, mapping: Mapping[str, str] | None = None, tz: str | None = None) -> InteractionLog:
    """Read a log in any known format (see :mod:`evaluation.readers.sources`), in stable time order.

    ``mapping`` names columns that are called unusually (role to column), ``tz`` the zone of naive times
    (default UTC). Without an event type, a ``rating`` column makes the events ratings; otherwise they are
    views, the weakest claim, as a purchase cannot be known. Repeated rows are kept: they are events.

    Raises :class:`DataFileError` at the first problem, with its line.
    """
    reading = scan(path, mapping=mapping, tz=tz)
    if reading.problems:
        more = reading.n_problems - 1
        rest = f" (and {more} more; `evergraph validate` lists them)" if more else ""
        raise DataFileError(f"{reading.problems[0]}{rest}")
    return reading.log


def scan(path: Path, *, mapping: Mapping[str, str] | None = None, tz: str | None = None) -> Reading:
    """Read as much as can be read, collecting problems instead of stopping at the first.

    Raises :class:`DataFileError` only where the file as a whole cannot be used.
    """
    mapping = mapping or {}
    sources = find_sources(Path(path))
    table = read_table(sources.interactions)
    items_table = read_table(sources.items) if sources.items else None
    check_mapping(mapping, {str(t.path): t.frame.columns for t in (table, items_table) if t is not None})
    roles = resolve(table.frame.columns, INTERACTION_ROLES, mapping)
    require(str(table.path), table.frame.columns, roles, REQUIRED_OF_INTERACTIONS)
    if items_table is None:
        roles = {**resolve(table.frame.columns, CATALOGUE_ROLES, mapping), **roles}
    events = _events(table, roles, tz)
    catalogue = _catalogue_of(events, items_table, mapping)
    problems, n_problems = events.findings.problems(), events.findings.count
    if items_table is not None:
        problems += catalogue.findings.problems()
        n_problems += catalogue.findings.count
    if not problems and events.frame.is_empty():
        raise DataFileError(f"{table.path}: no row holds an interaction; at least one is needed")
    dropped = {"blank lines": events.findings.blank_lines} if events.findings.blank_lines else {}
    notes = [*table.notes, *events.notes, *catalogue.notes]
    log = InteractionLog(sources.name, events.frame, catalogue.items, {**dropped, **catalogue.dropped}, notes)
    return Reading(log, problems, n_problems, events.in_time_order, events.duplicates)


@dataclass(frozen=True)
class _Events:
    """Sorted interactions, and what the catalogue needs if it stands in the same rows."""

    frame: pl.DataFrame
    findings: Findings
    notes: list[str]
    in_time_order: bool
    duplicates: int
    file_order: pl.DataFrame
    order: pl.Series


def _events(table: Table, roles: Mapping[str, str], tz: str | None) -> _Events:
    findings = Findings.of(table, roles)
    n = table.frame.height
    ts, how = times(findings, tz)
    notes = [how]
    if "event_type" in roles:
        types = event_types(findings)
    else:
        assumed = EventType.RATING if roles.get("value", "").lower() == "rating" else EventType.VIEW
        types = pl.repeat(int(assumed), n, eager=True)
        notes.append(f"there is no event type: every row is a {assumed.label}")
    values = numbers(findings, "value") if "value" in roles else pl.repeat(None, n, eager=True)
    columns = {
        "user_id": ids(findings, "user_id"),
        "item_id": ids(findings, "item_id"),
        "event_type": types,
        "ts": ts,
        "value": values,
    }
    file_order = pl.DataFrame(columns, schema_overrides=SCHEMA)
    kept = file_order.with_row_index("row").filter(~findings.ignored)
    in_time_order = kept["ts"].drop_nulls().is_sorted()
    if not in_time_order:
        notes.append("rows were not in time order: sorted (stable)")
        kept = kept.sort("ts", maintain_order=True)
    frame = kept.drop("row")
    duplicates = frame.height - frame.n_unique()
    if duplicates:
        notes.append(f"{duplicates:,} rows repeat another one exactly: kept, as each is an event")
    unread = [name for name in table.frame.columns if name not in set(roles.values())]
    if unread:
        notes.append(f"columns not read: {', '.join(unread)}")
    return _Events(frame, findings, notes, in_time_order, duplicates, file_order, kept["row"])


def _catalogue_of(events: _Events, table: Table | None, mapping: Mapping[str, str]) -> Catalogue:
    """Items of their own file, or the latest word on each item in the interactions' rows."""
    if table is not None:
        roles = resolve(table.frame.columns, CATALOGUE_ROLES, mapping)
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
    return catalogue.noting("the catalogue is the latest word on each item in the interactions' rows")
