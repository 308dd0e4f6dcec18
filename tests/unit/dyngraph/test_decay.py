"""Decayed sums equal the sum of every event's own decay, over any span of time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dyngraph.decay import DecayClock

HALF_LIFE_MS = 1_000
START_MS = 1_700_000_000_000


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 400_000), min_size=1, max_size=4), min_size=1, max_size=8))
@example([[0], [255_000], [1_000], [300_000], [5]])
@example([[0], [256_000], [256_000]])
def test_stored_sums_decay_as_if_every_event_had_been_kept(gaps: list[list[int]]) -> None:
    clock, stored, events, now = DecayClock(HALF_LIFE_MS), 0.0, list[int](), START_MS
    for batch in gaps:
        times = []
        for gap in batch:
            now += gap
            times.append(now)
        ts = torch.tensor(times)
        stored = stored * clock.due(ts) + float(clock.weight(ts).sum())
        events += times
        expected = math.fsum(2.0 ** ((ts - now) / HALF_LIFE_MS) for ts in events)
        assert math.isfinite(stored)
        assert stored * float(clock.now(torch.tensor([now]))) == pytest.approx(expected, rel=1e-9)


def test_the_base_stays_where_it_is_until_the_exponent_is_large() -> None:
    clock = DecayClock(HALF_LIFE_MS)
    assert clock.due(torch.tensor([START_MS])) == 1.0
    assert clock.due(torch.tensor([START_MS + 255 * HALF_LIFE_MS])) == 1.0
    assert clock.due(torch.tensor([START_MS + 256 * HALF_LIFE_MS])) == 2.0**-256


def test_a_reloaded_clock_goes_on_from_the_same_base() -> None:
    clock, again = DecayClock(HALF_LIFE_MS), DecayClock(HALF_LIFE_MS)
    clock.due(torch.tensor([START_MS]))
    again.load_state(clock.state())
    later = torch.tensor([START_MS + 5_500])
    assert again.due(later) == 1.0
    assert again.weight(later).equal(clock.weight(later))
    assert again.now(later).equal(clock.now(later))


def test_an_event_before_the_base_weighs_less_than_one() -> None:
    clock = DecayClock(HALF_LIFE_MS)
    clock.due(torch.tensor([START_MS]))
    assert clock.weight(torch.tensor([START_MS - 2 * HALF_LIFE_MS])).tolist() == [0.25]


def test_what_an_event_weighs_does_not_depend_on_the_events_beside_it() -> None:
    clock, ts = DecayClock(HALF_LIFE_MS), START_MS + torch.arange(1_003) * 7
    clock.due(ts)
    for size in (1, 7):
        assert torch.cat([clock.weight(part) for part in ts.split(size)]).equal(clock.weight(ts))
        assert torch.cat([clock.now(part) for part in ts.split(size)]).equal(clock.now(ts))
