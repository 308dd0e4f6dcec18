"""Coverage, novelty and Gini of lists whose figures fit on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_coded import small

from evaluation.beyond_accuracy import beyond_accuracy, gini
from evaluation.protocols import Outcome, OutcomeBuilder, Plan


def shown(plan: Plan, lists: dict[int, list[int]]) -> Outcome:
    builder = OutcomeBuilder(LOG, plan, "by hand", {})
    for row, top in lists.items():
        builder.add(row, 1.0, top)
    return builder.outcome(1.0)


LOG = small("ann:a@1 bob:a@2 bob:b@3 ann:c@4 ann:d@5")


def test_figures_of_two_lists_by_hand() -> None:
    # Before row 3: a twice, b once of 3 events; before row 4: a 2, b 1, c 1 of 4 events; 3 items seen.
    found = beyond_accuracy(shown(Plan(k=2), {3: [1, 2], 4: [1]}), LOG)
    assert found.coverage == pytest.approx(2 / 3)
    assert found.novelty == pytest.approx((math.log2(3 / 2) + math.log2(3) + math.log2(2)) / 3)
    assert found.gini == pytest.approx((2 * 2 - 4) / 9 + (2 * 3 - 4) * 2 / 9)  # exposure 0, 1, 2


def test_leave_one_out_knows_the_whole_log() -> None:
    found = beyond_accuracy(shown(Plan("leave-one-out", k=1), {3: [1], 4: [4]}), LOG)
    assert found.coverage == 0.5
    assert found.novelty == pytest.approx((math.log2(5 / 2) + math.log2(5)) / 2)


def test_empty_lists_have_no_figures_and_no_coverage() -> None:
    found = beyond_accuracy(shown(Plan(), {4: []}), LOG)
    assert found.coverage == 0 and math.isnan(found.novelty) and math.isnan(found.gini)


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    exposure = np.array([7, 0, 3, 3, 1])
    differences = np.abs(exposure[:, None] - exposure[None, :]).mean()
    assert gini(exposure) == pytest.approx(differences / (2 * exposure.mean()))
