"""Outcomes become figures that a hand can check."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_outcomes import coded_small, outcome, small_log

from evaluation.experiments.curves import POINTS, curve, rolling_mean, shown_so_far
from evaluation.experiments.experiment import Experiment
from evaluation.experiments.figures import holm, kinds, line, results_of
from evaluation.experiments.results import Results
from evaluation.experiments.wording import margin, verdict
from evaluation.protocols import Plan

PLAN = Plan(k=2)
RANKS = (1.0, 2.0, math.inf, 3.0, 1.0, 1.5)


def experiment(*names: str, plan: Plan = PLAN) -> Experiment:
    return Experiment(data="small.csv", contenders=names, plan=plan, window=3)


def compared(*ranks: tuple[float, ...], names: tuple[str, ...] = ("evergraph", "blend", "markov")) -> Results:
    log, walked = small_log(), coded_small()
    named = names[: len(ranks)]
    outcomes = [outcome(walked, PLAN, name, rank) for name, rank in zip(named, ranks, strict=True)]
    return results_of(experiment(*named), log, walked, outcomes)


def test_a_line_holds_the_hand_computed_figures() -> None:
    found = outcome(coded_small(), PLAN, "m", RANKS)
    shown = line(found, kinds(found)["all"], 2, 0)
    gains = [1, 1 / math.log2(3), 0, 0, 1, 1 / math.log2(2.5)]
    assert (shown.events, shown.users) == (6, 3)
    assert shown.hr == pytest.approx(4 / 6)
    assert shown.ndcg == pytest.approx(sum(gains) / 6)
    assert shown.mrr == pytest.approx((1 + 1 / 2 + 0 + 1 / 3 + 1 + 1 / 1.5) / 6)
    assert shown.ndcg_low is not None
    assert shown.ndcg_high is not None
    assert shown.ndcg_low < shown.ndcg < shown.ndcg_high


def test_both_sides_of_a_kind_are_all_events() -> None:
    found = outcome(coded_small(), PLAN, "m", RANKS)
    parts = kinds(found)
    for one, other in (("repeat", "first-time"), ("cold users", "warm users"), ("cold items", "warm items")):
        assert (parts[one] ^ parts[other]).all()
    # Of the last six events ann meets d, eve meets a and bob meets c for the first time.
    assert parts["first-time"].tolist() == [True, True, False, True, False, False]


def test_a_kind_without_events_has_no_figures() -> None:
    found = outcome(coded_small(), PLAN, "m", RANKS)
    shown = line(found, np.zeros(6, dtype=bool), 2, 0)
    assert (shown.events, shown.hr, shown.ndcg, shown.mrr) == (0, None, None, None)


def test_the_margin_asked_for_is_a_twentieth_over_the_blend_and_a_tenth_over_the_others() -> None:
    found = compared((1.0,) * 6, (1.0, 1.0, 1.0, 1.0, 1.0, 2.0), (1.0, 1.0, 1.0, 1.0, 1.0, 2.0))
    over_blend, over_markov = found.comparisons
    # One gain of 1 against 0.6309 in six: 6.6 % ahead.
    assert over_blend.relative == pytest.approx(6 / (5 + 1 / math.log2(3)) - 1)
    assert (over_blend.margin, over_blend.margin_reached) == (0.05, True)
    assert (over_markov.margin, over_markov.margin_reached) == (0.10, False)
    assert (margin(over_blend), margin(over_markov)) == ("5 % reached", "10 % missed")
    told = "against 1 of 2 baselines, against 0 with intervals apart; not against markov (+6.6 %, 10 % asked)."
    assert told in verdict(found)[1]


def test_no_margin_is_asked_of_a_baseline_or_of_a_part_of_the_engine() -> None:
    for names in (("blend", "markov"), ("evergraph", "evergraph without graph")):
        found = compared((1.0,) * 6, (2.0,) * 6, names=names)
        assert [row.margin for row in found.comparisons] == [None]
        assert margin(found.comparisons[0]) == "–"
        assert len(verdict(found)) == 1


def test_nothing_to_be_ahead_of_is_no_margin_reached() -> None:
    found = compared((1.0,) * 6, (math.inf,) * 6)
    assert found.comparisons[0].relative is None
    assert found.comparisons[0].margin_reached is False


def test_equal_models_differ_by_nothing_and_by_chance() -> None:
    (row,) = compared(RANKS, RANKS).comparisons
    assert (row.difference, row.low, row.high, row.intervals_apart) == (0, 0, 0, False)
    assert row.p == row.p_holm == 1


def test_a_clear_difference_has_a_small_p_and_its_sign() -> None:
    (row,) = compared((1.0,) * 6, (math.inf,) * 6).comparisons
    assert row.difference == row.low == row.high == 1
    assert row.intervals_apart
    assert row.p < 0.01


def test_models_that_ranked_other_events_are_not_compared() -> None:
    with pytest.raises(RuntimeError, match="blend ranked other events than evergraph"):
        compared(RANKS, RANKS[:5])


def test_results_survive_json_and_hold_no_nan() -> None:
    found = compared(RANKS, RANKS)
    written = msgspec.json.encode(found)
    assert msgspec.json.decode(written, type=Results) == found
    assert found.data.dropped == {"without an item": 2}
    assert found.data.notes == ["a note"]
    assert found.data.evaluated == 6


def test_coverage_novelty_and_gini_are_there() -> None:
    (model,) = compared(RANKS).models
    assert model.coverage is not None
    assert 0 < model.coverage <= 1
    assert model.novelty is not None
    assert model.novelty > 0
    assert model.gini is not None
    assert 0 <= model.gini <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_adjusted_p_values_are_no_smaller_keep_their_order_and_stay_below_one(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, adjusted, strict=True))
    by_p = [adjusted[at] for at in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert by_p == sorted(by_p)
    # The smallest one pays for all comparisons (Bonferroni).
    assert min(adjusted) == pytest.approx(min(1.0, len(p_values) * min(p_values)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 40))
def test_the_rolling_mean_is_that_of_the_last_values(values: list[float], window: int) -> None:
    expected = [np.mean(values[max(0, at + 1 - window) : at + 1]) for at in range(len(values))]
    assert rolling_mean(np.array(values), window) == pytest.approx(np.array(expected))


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12))
def test_shown_items_are_counted_once(lists: list[list[int]]) -> None:
    expected = [len({item for shown in lists[: at + 1] for item in shown} - {0}) for at in range(len(lists))]
    assert shown_so_far(np.array(lists, dtype=np.int32)).tolist() == expected


def test_a_curve_ends_with_the_last_event_and_is_of_the_plan() -> None:
    walked = coded_small()
    drawn = curve(outcome(walked, PLAN, "m", RANKS), walked, 2, 3)
    assert drawn.evaluated == [1, 2, 3, 4, 5, 6]
    assert drawn.ts == walked.ts[-6:].tolist()
    assert drawn.ndcg[-1] == pytest.approx((0 + 1 + 1 / math.log2(2.5)) / 3)
    assert drawn.coverage[-1] == 1
    assert all(0 <= share <= 1 for share in drawn.coverage)


def test_a_long_curve_has_few_points() -> None:
    walked = coded_small()
    long = outcome(walked, PLAN, "m", RANKS)
    fields = ("row", "user", "ts", "rank", "top", "repeat", "cold_user", "cold_item")
    longer = dataclasses.replace(long, **{name: np.repeat(getattr(long, name), 400, axis=0) for name in fields})
    drawn = curve(longer, walked, 2, 500)
    assert len(drawn.ts) == len(drawn.ndcg) == len(drawn.coverage) == POINTS
    assert (drawn.evaluated[0], drawn.evaluated[-1]) == (500, 2_400)
