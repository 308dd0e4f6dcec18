"""Whatever a time column holds becomes milliseconds UTC, or no time at all."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.readers import DataFileError
from evaluation.readers.times import parse_times

NEW_YEAR = 1_577_836_800_000  # 2020-01-01T00:00:00Z


def ms(values: list[object], tz: str | None = None, name: str = "time") -> list[int | None]:
    return parse_times(pl.Series(name, values), tz)[0].to_list()


def test_the_median_decides_between_seconds_and_milliseconds_for_the_whole_column() -> None:
    assert ms(["1577836800", "1577836800.5"]) == [NEW_YEAR, NEW_YEAR + 500]
    assert ms(["1577836800000", "1577836800001"]) == [NEW_YEAR, NEW_YEAR + 1]
    assert ms([1_577_836_800, 1_577_836_800, 32_503_680_000]) == [NEW_YEAR, NEW_YEAR, 32_503_680_000_000]


def test_a_name_that_ends_in_ms_is_milliseconds_however_small() -> None:
    assert ms([0, 5], name="ts_ms") == [0, 5]
    assert ms([0, 5], name="ts") == [0, 5_000]


@pytest.mark.parametrize(
    ("written", "after"),
    [
        ("2020-01-01", 0),
        ("2020-01-01 00:01", 60_000),
        ("2020-01-01T00:00:01", 1_000),
        ("2020-01-01T00:00:01.25", 1_250),
        ("2020-01-01 00:00:00,123456", 123),
        ("2020-01-01T00:00:00Z", 0),
        ("2020-01-01T01:00:00+01:00", 0),
        ("2019-12-31T19:00:00-0500", 0),
        (" 2020-01-01 00:00:00 UTC ", 0),
    ],
)
def test_iso_text_is_read(written: str, after: int) -> None:
    assert ms([written]) == [NEW_YEAR + after]


@pytest.mark.parametrize("written", ["01/02/2020", "2020-13-01", "2020-02-30", "2020-01-01 25:00", "soon", ""])
def test_what_is_no_iso_time_is_no_time(written: str) -> None:
    assert ms(["2020-01-01", "2020-01-01", written])[2] is None


def test_naive_times_are_utc_unless_a_zone_is_named() -> None:
    summer = datetime(2020, 7, 1, 12, 0)
    assert ms(["2020-07-01 12:00"]) == [ms([summer])[0]]
    london = [int(summer.replace(tzinfo=ZoneInfo("Europe/London")).timestamp() * 1000)]
    assert ms(["2020-07-01 12:00"], "Europe/London") == london
    assert ms([summer], "Europe/London") == london
    assert ms(["2020-07-01T12:00Z"], "Europe/London") == ms([summer])


def test_a_doubled_hour_is_its_first_pass_and_a_skipped_one_no_time() -> None:
    doubled, skipped = "2020-10-25 01:30", "2020-03-29 01:30"
    first_pass = int(datetime(2020, 10, 25, 1, 30, tzinfo=ZoneInfo("Europe/London")).timestamp() * 1000)
    assert ms([doubled, skipped], "Europe/London") == [first_pass, None]


def test_dates_and_zoned_datetimes_of_parquet_are_read() -> None:
    assert ms([date(2020, 1, 1)]) == [NEW_YEAR]
    assert ms([datetime(2020, 1, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))]) == [NEW_YEAR]


def test_rows_written_the_rarer_way_are_no_times() -> None:
    assert ms(["2020-01-01", "2020-01-01", "1577836800"]) == [NEW_YEAR, NEW_YEAR, None]
    assert ms(["1577836800", "1577836800", "2020-01-01"]) == [NEW_YEAR, NEW_YEAR, None]


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(DataFileError, match="no such time zone"):
        ms(["2020-01-01"], "Mars/Olympus")


@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)), st.sampled_from(["UTC", "Asia/Kolkata"]))
def test_any_iso_time_reads_as_python_reads_it(moment: datetime, zone: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    aware = moment.replace(tzinfo=ZoneInfo(zone))
    expected = round(aware.timestamp() * 1000)
    assert ms([aware.isoformat(timespec="milliseconds")]) == [expected]
    assert ms([moment.isoformat(sep=" ", timespec="milliseconds")], zone) == [expected]
