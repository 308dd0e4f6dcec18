"""Metrics are what a brute-force reading of their definitions gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evaluation.metrics import figures, gains, hit_rate, hits, middle_rank, mrr, ndcg, reciprocals

# Few distinct scores, so that ties are common; -inf is a masked candidate.
SCORES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 12)),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
)


def brute_rank(scores: list[float], target: int) -> float:
    if target < 0 or scores[target] == -math.inf:
        return math.inf
    others = [score for place, score in enumerate(scores) if place != target]
    greater = sum(score > scores[target] for score in others)
    return 1 + greater + sum(score == scores[target] for score in others) / 2


@given(SCORES, st.data())
def test_middle_rank_equals_brute_force(scores: np.ndarray, data: st.DataObject) -> None:
    n_rows, n_candidates = scores.shape
    targets = data.draw(st.lists(st.integers(-1, n_candidates - 1), min_size=n_rows, max_size=n_rows))
    expected = [brute_rank(row.tolist(), target) for row, target in zip(scores, targets, strict=True)]
    assert middle_rank(scores, targets).tolist() == expected


@given(SCORES)
def test_middle_ranks_of_all_candidates_average_to_the_middle(scores: np.ndarray) -> None:
    row = np.where(np.isinf(scores[0]), 0.0, scores[0])
    n = len(row)
    ranks = middle_rank(np.tile(row, (n, 1)), np.arange(n))
    assert ranks.mean() == pytest.approx((n + 1) / 2)


def test_a_constant_score_earns_no_luck() -> None:
    assert middle_rank(np.zeros((1, 101)), [0]).tolist() == [51.0]


def test_middle_rank_refuses_what_has_no_rank() -> None:
    with pytest.raises(ValueError, match="NaN"):
        middle_rank([[np.nan, 1.0]], [1])
    with pytest.raises(ValueError, match="must be a column"):
        middle_rank([[0.0, 1.0]], [2])
    with pytest.raises(ValueError, match="as many targets"):
        middle_rank([[0.0, 1.0]], [0, 1])


def test_no_candidates_at_all_is_a_miss() -> None:
    assert middle_rank(np.empty((2, 0)), [-1, -1]).tolist() == [np.inf, np.inf]


def test_values_worked_by_hand() -> None:
    ranks = np.array([1.0, 2.0, 2.5, 10.0, 10.5, np.inf, np.nan])
    assert hits(ranks).tolist()[:6] == [1, 1, 1, 1, 0, 0]
    expected = [1.0, 1 / math.log2(3), 1 / math.log2(3.5), 1 / math.log2(11), 0, 0]
    assert gains(ranks).tolist()[:6] == pytest.approx(expected)
    assert reciprocals(ranks).tolist()[:6] == pytest.approx([1, 0.5, 0.4, 0.1, 1 / 10.5, 0])
    assert hit_rate(ranks) == pytest.approx(4 / 6)
    assert ndcg(ranks) == pytest.approx(sum(expected) / 6)
    assert mrr(ranks) == pytest.approx((1 + 0.5 + 0.4 + 0.1 + 1 / 10.5) / 6)


@given(st.lists(st.one_of(st.just(math.nan), st.just(math.inf), st.floats(1, 500)), max_size=30))
def test_events_that_are_no_target_change_nothing(ranks: list[float]) -> None:
    targets = [rank for rank in ranks if not math.isnan(rank)]
    assert figures(np.array(ranks)) == pytest.approx(figures(np.array(targets)), nan_ok=True)


def test_nothing_to_average_is_nan_not_zero() -> None:
    assert all(math.isnan(value) for value in figures(np.array([np.nan])).values())


@given(st.floats(1, 100), st.integers(1, 20))
def test_a_better_rank_never_scores_lower(rank: float, k: int) -> None:
    pair = np.array([rank, rank + 0.5])
    for values in (hits(pair, k), gains(pair, k), reciprocals(pair)):
        assert values[0] >= values[1]


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="below 1"):
        mrr(np.array([0.0]))
    with pytest.raises(ValueError, match="no cut-off"):
        ndcg(np.array([1.0]), 0)
