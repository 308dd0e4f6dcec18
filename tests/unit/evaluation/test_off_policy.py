"""Estimates from logged chances find the true value of a policy that never ran, where the plain mean does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.off_policy import Estimate, Logged, OffPolicyError, doubly_robust, ips, logged, snips

RATES = np.array([[0.02, 0.10, 0.30, 0.05], [0.25, 0.05, 0.02, 0.10]])
"""Chance of success per situation and action."""
LOGGING = np.array([[0.55, 0.25, 0.10, 0.10], [0.10, 0.20, 0.50, 0.20]])
"""The policy that ran: it mostly shows what does badly."""
TARGET = np.array([[0.10, 0.20, 0.60, 0.10], [0.70, 0.10, 0.10, 0.10]])
"""The policy in question."""
TRUTH = float((TARGET * RATES).sum(1).mean())


def simulated(seed: int, n: int = 3_000, users: int = 600) -> tuple[Logged, NDArray[np.int64], NDArray[np.int64]]:
    """A log of the bandit above; also the situation and the action of each row."""
    rng = np.random.default_rng(seed)
    situation = rng.integers(2, size=n)
    action = (rng.random(n)[:, None] > LOGGING[situation].cumsum(1)).sum(1).clip(max=3)
    reward = rng.random(n) < RATES[situation, action]
    at = (situation, action)
    return logged(LOGGING[at], reward, TARGET[at], rng.integers(users, size=n)), situation, action


def estimates(seed: int) -> list[Estimate]:
    actions, situation, action = simulated(seed)
    # A poor model of rewards: doubly robust needs only one of the two to be right.
    model = RATES.mean(0, keepdims=True).repeat(2, 0)
    predicted, expected = model[situation, action], (TARGET * model).sum(1)[situation]
    return [
        ips(actions, resamples=200, seed=seed),
        snips(actions, resamples=200, seed=seed),
        doubly_robust(actions, predicted, expected, resamples=200, seed=seed),
    ]


def test_the_true_value_lies_in_nine_of_ten_intervals_at_least() -> None:
    runs = [estimates(seed) for seed in range(200)]
    for own in zip(*runs, strict=True):
        held = np.mean([one.value.low <= TRUTH <= one.value.high for one in own])
        assert held >= 0.9, f"{own[0].name}: the interval held the truth in {held:.0%} of the runs"
        assert np.mean([one.value.mean for one in own]) == pytest.approx(TRUTH, rel=0.02), own[0].name


def test_the_plain_mean_of_what_was_logged_is_far_off() -> None:
    naive = np.array([simulated(seed)[0].reward.mean() for seed in range(50)])
    assert naive.mean() < 0.5 * TRUTH
    assert naive.max() < TRUTH


def test_clipping_only_takes_away_and_a_bound_that_no_weight_reaches_changes_nothing() -> None:
    actions, _, _ = simulated(1)
    plain = ips(actions, resamples=50)
    assert ips(actions, clip=2.0, resamples=50).value.mean < plain.value.mean
    assert ips(actions, clip=1e6, resamples=50).value == plain.value
    with pytest.raises(ValueError, match="clip = 0 is no bound"):
        ips(actions, clip=0)


def test_by_hand_on_three_actions() -> None:
    actions = logged([0.5, 0.25, 0.25], [1.0, 0.0, 2.0], [0.5, 0.5, 0.0])
    assert actions.weights.tolist() == [1.0, 2.0, 0.0]
    assert ips(actions, resamples=10).value.mean == pytest.approx((1 + 0 + 0) / 3)
    assert snips(actions, resamples=10).value.mean == pytest.approx(1 / 3)
    assert actions.effective_size == pytest.approx(9 / 5)
    robust = doubly_robust(actions, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], resamples=10)
    assert robust.value.mean == pytest.approx((1.0 + (0.5 - 1.0) + 0.5) / 3)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 1), st.floats(-5, 5), st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=30
    )
)
def test_the_logging_policy_itself_is_worth_what_it_earned(rows: list[tuple[float, float, float, int]]) -> None:
    propensity, reward, target, users = map(list, zip(*rows, strict=True))
    own = logged(propensity, reward, propensity, users)
    assert ips(own, resamples=20).value.mean == pytest.approx(np.mean(reward))
    assert snips(own, resamples=20).value.mean == pytest.approx(np.mean(reward))
    assert own.effective_size == pytest.approx(len(rows))
    other = logged(propensity, reward, target, users)
    if other.weights.any():
        value = snips(other, resamples=20).value
        assert min(reward) - 1e-9 <= value.mean <= max(reward) + 1e-9
        assert other.effective_size <= len(rows) + 1e-9


def test_users_with_many_actions_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    lucky = np.repeat(rng.random(40) < 0.5, 50).astype(float)
    chances = np.full(len(lucky), 0.5)
    alone = ips(logged(chances, lucky, chances)).value
    by_user = ips(logged(chances, lucky, chances, np.repeat(np.arange(40), 50))).value
    assert by_user.high - by_user.low > 4 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        (([0.5, 0.0], [1, 0], [1, 1]), r"1 of 2 logged actions have a propensity of 0 or none \(the first at 1\)"),
        (([0.5, None], [1, 0], [1, 1]), "a propensity of 0 or none"),
        (([1.5], [1], [1]), "a propensity above 1"),
        (([0.5], [float("nan")], [1]), "a reward that is not finite"),
        (([0.5], [1], [1.2]), "a target chance outside 0 to 1"),
        (([0.5, 0.5], [1], [1]), "must be \\[N\\] alike"),
        (([], [], []), "only exploration slots log a probability"),
    ],
)
def test_a_log_that_says_nothing_is_refused_with_the_reason(columns: tuple[list[float], ...], what: str) -> None:
    with pytest.raises(OffPolicyError, match=what):
        logged(*columns)


def test_a_policy_that_shows_nothing_of_what_was_logged_cannot_be_judged() -> None:
    with pytest.raises(OffPolicyError, match="takes none of the logged actions"):
        snips(logged([0.5, 0.5], [1, 0], [0, 0]))
    with pytest.raises(OffPolicyError, match=r"predicted and expected must be \[1\]"):
        doubly_robust(logged([0.5], [1], [1]), [0.1, 0.2], [0.1])
