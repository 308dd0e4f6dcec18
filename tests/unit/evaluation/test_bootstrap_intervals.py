"""Intervals over users cover what they should and see through repeated events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.intervals import paired_difference, user_interval


def test_the_mean_is_the_plain_mean_and_lies_inside() -> None:
    values = np.random.default_rng(1).random(2_000)
    users = np.arange(2_000) % 300
    interval = user_interval(values, users)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low < interval.mean < interval.high


def test_a_user_who_acts_more_counts_more_in_every_draw() -> None:
    values, users = [0.0] * 999 + [1.0], [0] * 999 + [1]
    draws = {0.0, 0.001, 1.0}  # the busy user twice, both, the quiet one twice
    interval = user_interval(values, users, level=0.2)
    assert interval.mean == pytest.approx(0.001)
    assert {interval.low, interval.high} <= draws
    assert 0.001 in {interval.low, interval.high}


def test_the_width_is_that_of_theory_for_independent_users() -> None:
    values = np.random.default_rng(2).normal(size=4_000)
    interval = user_interval(values, np.arange(4_000), resamples=2_000)
    expected = 2 * 1.96 * values.std() / math.sqrt(4_000)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)


def test_repeating_each_user_s_events_makes_the_figure_no_surer() -> None:
    per_user = np.random.default_rng(3).random(200)
    once = user_interval(per_user, np.arange(200))
    fifty_times = user_interval(np.repeat(per_user, 50), np.repeat(np.arange(200), 50))
    assert fifty_times.high - fifty_times.low == pytest.approx(once.high - once.low)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng, inside = np.random.default_rng(4), 0
    for trial in range(100):
        interval = user_interval(rng.random(150), np.arange(150), resamples=200, seed=trial)
        inside += interval.low <= 0.5 <= interval.high
    assert 86 <= inside <= 100


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    rng = np.random.default_rng(5)
    users = rng.integers(0, 400, 3_000)
    base = rng.random(3_000) + rng.random(400)[users]
    better = base + 0.02 + rng.normal(scale=0.05, size=3_000)
    assert not user_interval(better, users).apart(user_interval(base, users))
    difference = paired_difference(better, base, users)
    assert difference.low > 0
    assert difference.mean == pytest.approx((better - base).mean())


def test_pairs_with_a_missing_half_are_left_out() -> None:
    difference = paired_difference([1.0, math.nan, 3.0], [0.0, 9.0, math.nan], ["a", "b", "c"])
    assert (difference.mean, difference.low, difference.high) == (1.0, 1.0, 1.0)


def test_the_same_seed_gives_the_same_interval_and_users_may_be_text() -> None:
    values, users = np.arange(60) % 7 / 7, np.arange(60) % 13
    as_text = [f"user {user:02d}" for user in users]
    assert user_interval(values, users, seed=9) == user_interval(values, as_text, seed=9)
    assert user_interval(values, users, seed=9) != user_interval(values, users, seed=10)


def test_nothing_measured_is_nan() -> None:
    assert math.isnan(user_interval([math.nan], ["a"]).low)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="alike"):
        user_interval([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="same events"):
        paired_difference([1.0], [1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        user_interval([1.0], ["a"], level=1.0)


def test_equal_models_have_p_1_and_a_constant_lead_has_the_smallest_p() -> None:
    values, users = np.linspace(0, 1, 50), np.arange(50)
    assert paired_difference(values, values, users).p == 1
    assert paired_difference(values + 0.1, values, users, resamples=999).p == pytest.approx(2 / 1_000)


def test_p_values_of_equal_models_are_spread_evenly() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(200, 2, 60))
    ps = [paired_difference(one, two, np.arange(60), resamples=200, seed=n).p for n, (one, two) in enumerate(noise)]
    assert 0.01 < np.mean(np.array(ps) < 0.05) < 0.12
    assert np.mean(ps) == pytest.approx(0.5, abs=0.07)


def test_a_p_value_below_5_percent_goes_with_an_interval_without_zero() -> None:
    rng = np.random.default_rng(4)
    for lead in np.linspace(-0.6, 0.6, 13):
        found = paired_difference(rng.normal(size=80) + lead, np.zeros(80), np.arange(80))
        if abs(found.p - 0.05) > 0.01:  # On the very edge the quantile is interpolated.
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
