"""Compiled ranks and lists equal plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics import middle_rank
from evaluation.ranking import middle_ranks, top_items

SCORES = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=12)


@settings(deadline=None)  # The first call compiles.
@given(SCORES, st.integers(1, 14))
def test_ranks_are_those_of_the_metrics_room(items: list[float], target: int) -> None:
    scores = np.array([99.0, *items])
    column = target - 1 if target <= len(items) else -1
    assert middle_ranks(scores, np.array([target])) == middle_rank([items], [column])


@settings(deadline=None)  # The first call compiles.
@given(SCORES, st.integers(1, 14))
def test_the_list_is_the_head_of_a_stable_sort_without_masked_items(items: list[float], k: int) -> None:
    rows = [row for row in np.argsort(-np.array(items), kind="stable") + 1 if items[row - 1] > -np.inf]
    assert top_items(np.array([99.0, *items]), k).tolist() == rows[:k]


def test_ties_share_their_middle_rank_so_that_a_constant_earns_no_luck() -> None:
    assert middle_ranks(np.ones(10), np.array([1, 5, 9])).tolist() == [5.0, 5.0, 5.0]


def test_nan_and_rows_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN, which has no rank"):
        middle_ranks(np.array([0.0, 1.0, np.nan]), np.array([1]))
    with pytest.raises(ValueError, match="rows count from 1"):
        middle_ranks(np.ones(3), np.array([0]))
