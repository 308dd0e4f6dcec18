"""Settings are picked within the warm-up, in as many trials as stated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from small_coded import drawn, small

from evaluation.protocols import Plan
from evaluation.protocols.holdout import held_out
from evaluation.tuning import plan_settings, tuned
from models.baselines import build_baseline, search_space

LOG = drawn(600, users=30, items=30)


def test_nothing_after_the_slice_changes_what_is_tried_or_found() -> None:
    found = tuned("blend", LOG, Plan(), trials=8, seed=1)
    rng = np.random.default_rng(0)
    items = LOG.items.copy()
    items[found.upto :] = rng.integers(1, items[: found.upto].max() + 1, len(items) - found.upto)
    assert tuned("blend", dataclasses.replace(LOG, items=items), Plan(), trials=8, seed=1) == found
    assert (found.since, found.upto) == (240, LOG.borders[np.searchsorted(LOG.borders, 300, side="right") - 1])


def test_no_held_out_event_is_seen_by_the_trials_of_leave_one_out() -> None:
    plan = Plan("leave-one-out")
    log = small(" ".join(f"u{n // 4}:i{n * n % 7}@{n}" for n in range(400)))  # Users come and go.
    tests = held_out(log, plan).tests
    assert (tests < 200).sum() == 50
    items = log.items.copy()
    items[tests] = 1
    changed = dataclasses.replace(log, items=items)
    assert tuned("blend", changed, plan, trials=4) == tuned("blend", log, plan, trials=4)


def test_trials_differ_begin_with_the_defaults_and_the_best_is_taken() -> None:
    heard: list[int] = []
    found = tuned("blend", LOG, Plan(mask_seen=True), trials=12, progress=heard.append)
    assert heard == list(range(1, 13))
    assert found.trials[0].settings == build_baseline("blend", mask_seen=True).settings
    assert len({tuple(sorted(trial.settings.items())) for trial in found.trials}) == 12
    assert found.settings == max(found.trials, key=lambda trial: trial.ndcg).settings
    assert found.settings["mask_seen"] is True
    space = search_space("blend")
    assert all(trial.settings[name] in values for trial in found.trials for name, values in space.items())


def test_a_small_space_is_tried_whole_and_a_baseline_without_settings_once() -> None:
    halves = tuned("decayed-popularity", LOG, Plan(), trials=50)
    tried = {trial.settings["half_life_days"] for trial in halves.trials}
    assert tried == set(search_space("decayed-popularity")["half_life_days"])
    assert len(tuned("popularity", LOG, Plan(), trials=50).trials) == 1


def test_a_planted_fashion_is_found() -> None:
    # Each day has its own fashion among ten items that come back: what counts is the last few hours.
    text = " ".join(f"u{n}:i{(n // 30) % 10}@{n / 30}" for n in range(1_200))
    assert tuned("decayed-popularity", small(text), Plan(), trials=8).settings["half_life_days"] == 0.25


def test_what_the_plan_decides_is_no_matter_of_tuning() -> None:
    assert plan_settings("blend", Plan(mask_seen=True)) == {"mask_seen": True}
    assert plan_settings("blend", Plan("leave-one-out-sampled")) == {"mask_seen": True}
    assert plan_settings("popularity", Plan(mask_seen=True)) == {}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"trials": 0}, "trials = 0: use 1 or more"),
        ({"trials": 2, "upto": 0.6}, "lies beyond the warm-up 0.5"),
        ({"trials": 2, "since": 0.5}, "use shares with 0 <= since < upto <= 1"),
    ],
)
def test_tuning_that_would_see_too_much_or_nothing_is_refused(settings: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        tuned("own", LOG, Plan(), **settings)  # type: ignore[arg-type]
