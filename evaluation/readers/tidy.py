"""From raw columns to the columns of a log: every rule about a single value lives here, vectorised.

The rules are those of the live path (id length, time bounds, finite values), so that a log that reads here
is not refused there.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from dyngraph.events import MAX_ID_BYTES, MAX_TS_MS, EventType, UnknownEventType
from evaluation.readers.errors import DataFileError, Problem, shown
from evaluation.readers.tables import Table
from evaluation.readers.times import parse_times

KEPT_PROBLEMS = 20
"""So many problems are worded per file; the rest are only counted."""

MAX_NUMBER = 1e12
"""Largest magnitude of a value or price, as on the wire."""


@dataclass
class Findings:
    """Problems of one table, collected rule by rule; a row may break several rules.

    ``ignored`` ``[rows]`` marks rows that no rule looks at: blank lines, rows the format already refused, and rows
    that the layout leaves out. ``dropped`` counts the first and the last of these by reason.
    """

    table: Table
    roles: Mapping[str, str]
    ignored: pl.Series
    dropped: dict[str, int]
    rows: list[tuple[int, str]] = field(default_factory=list)
    count: int = 0

    @classmethod
    def of(cls, table: Table, roles: Mapping[str, str]) -> Findings:
        """Start from what the format refused."""
        faults = [fault for fault in table.faults if fault.column is None or fault.column in roles.values()]
        whole = {fault.row for fault in faults if fault.column is None}
        blank = table.blank.set(_at(whole, len(table.blank)), False)
        counts = {"blank lines": int(blank.sum()), **{why: int(rows.sum()) for why, rows in table.left_out.items()}}
        ignored = functools.reduce(operator.or_, table.left_out.values(), blank | _at(whole, len(blank)))
        findings = cls(table, roles, ignored, {why: count for why, count in counts.items() if count})
        findings.rows = [(fault.row, fault.message) for fault in faults[:KEPT_PROBLEMS]]
        findings.count = len(faults)
        return findings

    def add(self, mask: pl.Series, role: str, rule: str) -> None:
        """Note that the rows of ``mask`` break ``rule`` (said after the column's name and the value)."""
        bad = (mask & ~self.ignored).arg_true()
        self.count += len(bad)
        column = self.roles[role]
        label = role if role == column else f"{role} (column {column})"
        for row in bad.head(KEPT_PROBLEMS).to_list():
            self.rows.append((row, f"{label} {shown(_written(self.table.frame[column][row]))} {rule}"))

    def problems(self) -> list[Problem]:
        """The first problems, in file order."""
        return [self.table.problem(row, message) for row, message in sorted(self.rows)[:KEPT_PROBLEMS]]


def ids(findings: Findings, role: str) -> pl.Series:
    """Ids as text; ``17850`` and ``17850.0`` are one id (spreadsheets turn id columns into floats)."""
    raw = scalars(findings, role)
    if raw.dtype.is_float():
        whole = raw.is_finite() & (raw == raw.round()) & (raw.abs() < 2.0**53)
        text = raw.cast(pl.Int64, strict=False).cast(pl.String).zip_with(whole.fill_null(False), raw.cast(pl.String))
        findings.add(raw.is_nan().fill_null(False) | raw.is_infinite().fill_null(False), role, "is no id")
    else:
        text = raw.cast(pl.String, strict=False)
    text = text.str.strip_chars().str.replace(r"^(-?\d+)\.0+$", "$1")
    findings.add(text.fill_null("") == "", role, "is empty; every row needs one")
    findings.add(
        (text.str.len_bytes() > MAX_ID_BYTES).fill_null(False),
        role,
        f"is longer than {MAX_ID_BYTES} bytes; shorten it or use a number",
    )
    return text.rename(role)


def times(findings: Findings, tz: str | None) -> tuple[pl.Series, str]:
    """Event times in ms UTC, and how they were read."""
    raw = scalars(findings, "ts")
    ts, how = parse_times(raw, tz)
    findings.add(
        ts.is_null(),
        "ts",
        "is no time; write seconds or milliseconds since 1970, or ISO such as 2011-12-09T12:50:00Z",
    )
    outside = ((ts < 0) | (ts >= MAX_TS_MS)).fill_null(False)
    findings.add(outside, "ts", f"is outside 1970 to 2100 ({how}); correct it or remove the row")
    return ts.rename("ts"), how


def numbers(findings: Findings, role: str) -> pl.Series:
    """Optional finite numbers: float64, null where empty."""
    raw = scalars(findings, role)
    if raw.dtype == pl.String:
        raw = raw.str.strip_chars().replace({"": None})
    value = raw.cast(pl.Float64, strict=False)
    findings.add(raw.is_not_null() & value.is_null(), role, "is no number; correct it or leave it empty")
    within = value.is_finite() & (value.abs() <= MAX_NUMBER)
    findings.add(~within.fill_null(True), role, "is not finite or beyond 10^12; correct it or leave it empty")
    return value.rename(role)


def event_types(findings: Findings) -> pl.Series:
    """Event types as int8 of :class:`~dyngraph.events.EventType`, from names (any case) or numbers."""
    raw = scalars(findings, "event_type").cast(pl.String, strict=False).str.strip_chars()
    raw = raw.str.replace(r"^(\d+)\.0+$", "$1")
    codes = {name: _code(name) for name in raw.unique().drop_nulls().to_list()}
    known = {name: code for name, code in codes.items() if code is not None}
    coded = raw.replace_strict(known, default=None, return_dtype=pl.Int8)
    allowed = ", ".join(event_type.label for event_type in EventType)
    findings.add(coded.is_null(), "event_type", f"is unknown; use one of: {allowed}")
    return coded.rename("event_type")


def scalars(findings: Findings, role: str) -> pl.Series:
    """The role's column. Raises :class:`DataFileError` for lists and structs, which Parquet may hold."""
    column = findings.table.frame[findings.roles[role]]
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        raise DataFileError(
            f"{findings.table.path}: column {column.name} holds {column.dtype}, but {role} must be text or "
            f"numbers; name another column with --map {role}=COLUMN"
        )
    return column


def _code(name: str) -> int | None:
    try:
        return int(EventType(int(name)) if name.isdecimal() else EventType.of(name))
    except (UnknownEventType, ValueError):
        return None


def _written(value: object) -> object:
    return "" if value is None else value


def _at(rows: set[int], n: int) -> pl.Series:
    mask = np.zeros(n, dtype=bool)
    mask[list(rows)] = True
    return pl.Series(mask)
