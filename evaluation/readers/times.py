"""Event times: whatever a column holds becomes milliseconds UTC.

The unit of bare numbers is decided once for the whole column, by the median: above :data:`SECONDS_END` (2100
as seconds, 1970-02-17 as milliseconds) they are milliseconds, else seconds. The median, because one mistyped
row must not change how all others are read. A column whose name ends in ``_ms`` is in milliseconds without
asking.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import polars as pl

from dyngraph.events import MAX_TS_MS
from evaluation.readers.errors import DataFileError

SECONDS_END = MAX_TS_MS / 1000

_CLOCK = r"(\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
_OFFSET = r"(Z|z|UTC|[+-]\d{2}:?\d{2})"
_ISO = rf"^(\d{{4}}-\d{{2}}-\d{{2}})(?:[T ]{_CLOCK}\s*{_OFFSET}?)?$"


def parse_times(column: pl.Series, tz: str | None = None) -> tuple[pl.Series, str]:
    """Milliseconds UTC (int64, null where a value is no time) and a sentence on how the column was read.

    Accepts numbers (seconds or milliseconds, fractions allowed), ISO 8601 text, dates and datetimes. Naive
    times are UTC unless ``tz`` names another zone; an hour that a clock change doubles means its first pass,
    one that it skips is no time. Raises :class:`DataFileError` for an unknown ``tz``.
    """
    zone = _zone(tz)
    if column.dtype.is_temporal():
        return _from_datetimes(column, zone), "times are datetimes of the file"
    if column.dtype.is_numeric():
        return _from_numbers(column.cast(pl.Float64, strict=False), column.name)
    text = column.cast(pl.String, strict=False).str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() == text.null_count():
        return _from_numbers(numbers, column.name)
    dates = _from_iso(text, zone)
    # The more frequent way of writing is the column's; the rest are rows to report, not to guess at.
    if numbers.null_count() <= dates.null_count():
        return _from_numbers(numbers, column.name)
    return dates, f"naive times are read as {zone}"


def _zone(tz: str | None) -> str:
    if tz is None:
        return "UTC"
    try:
        ZoneInfo(tz)
    except (ValueError, OSError, KeyError) as error:
        raise DataFileError(f"--tz {tz}: no such time zone; use a name such as Europe/London or UTC") from error
    return tz


def _from_numbers(numbers: pl.Series, name: str) -> tuple[pl.Series, str]:
    finite = numbers.set(~numbers.is_finite().fill_null(False), None)
    median = finite.median()
    in_ms = name.lower().endswith("_ms") or (isinstance(median, (int, float)) and median > SECONDS_END)
    scaled = finite if in_ms else finite * 1000
    # Beyond any int64 a cast would give null, and null means "no time at all": clip, the range check speaks.
    ms = scaled.clip(-1e18, 1e18).round().cast(pl.Int64)
    return ms, f"times are {'milliseconds' if in_ms else 'seconds'} since 1970 UTC"


def _from_datetimes(column: pl.Series, zone: str) -> pl.Series:
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("ms"))
    if not isinstance(column.dtype, pl.Datetime):
        return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)
    if column.dtype.time_zone is None:
        column = _localised(column, zone)
    return column.dt.convert_time_zone("UTC").dt.epoch("ms")


def _from_iso(text: pl.Series, zone: str) -> pl.Series:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    day, minute, second, fraction, offset = (parts.to_series(place) for place in range(5))
    filled = pl.DataFrame(
        {
            "day": day,
            "minute": minute.fill_null("00:00"),
            "second": second.fill_null("00"),
            "fraction": fraction.fill_null("0").str.pad_end(9, "0").str.slice(0, 3),
        }
    )
    joined = filled.select(pl.format("{} {}:{}.{}", "day", "minute", "second", "fraction")).to_series()
    naive = joined.str.to_datetime("%Y-%m-%d %H:%M:%S%.3f", strict=False, time_unit="ms")
    local = _localised(naive.set(offset.is_not_null(), None), zone).dt.epoch("ms")
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    digits = offset.str.replace("(?i)z|UTC", "+0000").str.replace(":", "")
    shift = pl.select(
        sign * (digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)) * 60_000
    ).to_series()
    aware = naive.dt.epoch("ms") - shift
    return local.zip_with(offset.is_null(), aware).rename(text.name)


def _localised(naive: pl.Series, zone: str) -> pl.Series:
    return naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
