"""`--from` reads as people write it, and says what it does not understand."""

from __future__ import annotations

import pytest

from streams.offsets import BadStart, Start, parse_start

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", Start("earliest")),
        (" latest ", Start("latest")),
        ("ts=1293840000000", Start("time", 1_293_840_000_000)),
        ("ts=2011-01-01", Start("time", 1_293_840_000_000)),
        ("ts=2011-01-01T00:00", Start("time", 1_293_840_000_000)),
        ("ts=2011-01-01T00:00Z", Start("time", 1_293_840_000_000)),
        ("ts=2011-01-01T02:00+02:00", Start("time", 1_293_840_000_000)),
        ("last=1h", Start("time", NOW - 3_600_000)),
        ("last=90m", Start("time", NOW - 5_400_000)),
        ("last=500ms", Start("time", NOW - 500)),
        ("last=99999w", Start("time", 0)),
    ],
)
def test_the_grammar(text: str, start: Start) -> None:
    assert parse_start(text, now_ms=NOW) == start


BAD = "first|ts|ts=|ts=yesterday|ts=-5|ts=1969-01-01|last=|last=1|last=1y|last=-1h|last=1.5h|earliest=1|latest="


@pytest.mark.parametrize("text", ["", "ts=" + "9" * 30, *BAD.split("|")])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadStart, match="--from"):
        parse_start(text, now_ms=NOW)


def test_a_time_admits_what_came_since() -> None:
    assert Start("time", 10).admits(10)
    assert not Start("time", 10).admits(9)
    assert Start("earliest").admits(-1)
