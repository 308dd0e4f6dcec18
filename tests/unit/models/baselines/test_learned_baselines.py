from __future__ import annotations

import numpy as np
import pytest
import torch
from planted_logs import START, basket, cycles, mean_reciprocal_rank, tastes

from models.baselines import build_baseline
from models.baselines.recommender import Follower, Recommender, Setting

# Small, and trained early, so that what they do after training is what is tested.
SMALL: dict[str, dict[str, Setting]] = {
    "bpr": {"width": 8},
    "river-reco": {"width": 8, "passes": 2, "lr": 0.1},
    "sasrec": {"width": 16, "length": 10, "first": 100, "interval": 0.2, "epochs": 2, "batch": 100, "lr": 5e-3},
    "gconvgru": {"width": 8, "least": 50, "updates": 5, "lr": 0.05},
}
every = pytest.mark.parametrize("name", SMALL)


def small(name: str, **settings: Setting) -> Recommender:
    return build_baseline(name, **{**SMALL[name], **settings})


@every
def test_users_of_one_taste_are_told_from_others_where_popularity_is_blind(name: str) -> None:
    log = list(tastes(1_500))
    popularity = mean_reciprocal_rank(build_baseline("popularity"), log, 1_000)
    assert mean_reciprocal_rank(small(name), log, 1_000) > 1.5 * popularity


@every
def test_the_same_seed_gives_the_same_scores_to_the_last_bit(name: str) -> None:
    log = list(tastes(400))
    one, same, other = small(name, seed=3), small(name, seed=3), small(name, seed=4)
    for event in log:
        torch.rand(1)  # Draws that others make between its own must not matter.
        one.learn(event)
    for model in (same, other):
        for event in log:
            model.learn(event)
    now = log[-1].ts
    assert np.array_equal(one.scores(5, now), same.scores(5, now))
    assert not np.array_equal(one.scores(5, now), other.scores(5, now))


@every
def test_asking_for_scores_changes_nothing(name: str) -> None:
    asked, silent = small(name), small(name)
    for event in tastes(400):
        asked.scores(event.user, event.ts)
        asked.scores(999, event.ts)
        asked.learn(event)
        silent.learn(event)
    assert np.array_equal(asked.scores(5, event.ts), silent.scores(5, event.ts))


@every
def test_the_random_state_of_others_is_left_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    model = small(name)
    for event in tastes(300):
        model.learn(event)
    assert torch.equal(torch.random.get_rng_state(), before)


@every
def test_rows_grow_and_every_score_is_a_number(name: str) -> None:
    model = small(name)
    for event in tastes(300):
        model.learn(event)
    for item in (60, 61, 700):
        model.learn(basket(user=2_000, items=[item], ts=event.ts))
        scores = model.scores(user=2_000, ts=event.ts)
        assert len(scores) == item + 1
        assert np.isfinite(scores).all()


@every
def test_before_the_first_event_there_is_the_null_row_alone(name: str) -> None:
    assert len(small(name).scores(user=1, ts=START)) == 1


@every
def test_a_user_never_seen_gets_finite_scores(name: str) -> None:
    model = small(name)
    for event in cycles(300):
        model.learn(event)
    scores = model.scores(user=999, ts=event.ts)
    assert np.isfinite(scores).all()
    assert scores[1:].std() > 0


@every
def test_refusals_make_rows_and_no_interest(name: str) -> None:
    refusing, taking = small(name), small(name)
    for model, sign in ((refusing, -1), (taking, 1)):
        for event in tastes(300):
            model.learn(event)
        for hour in range(60):
            model.learn(basket(user=1, items=[41], ts=event.ts + hour * 3_600_000, sign=sign))
        model.learn(basket(user=1, items=[1] * 60, ts=event.ts + 48 * 3_600_000))
    ts = event.ts + 72 * 3_600_000
    asked, told = (model.scores(user=1, ts=ts) for model in (refusing, taking))
    assert len(asked) == len(told) == 42
    assert (asked > asked[41]).sum() > (told > told[41]).sum()


@every
def test_following_makes_rows_and_changes_no_other_user(name: str) -> None:
    model = small(name)
    assert isinstance(model, Follower)
    for event in tastes(300):
        model.learn(event)
    before = model.scores(user=5, ts=event.ts)
    model.follow(basket(user=6, items=[3, 50], ts=event.ts))
    after = model.scores(user=5, ts=event.ts)
    assert len(after) == 51
    np.testing.assert_allclose(after[: len(before)], before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("bpr", "negatives"),
        ("river-reco", "passes"),
        ("sasrec", "epochs"),
        ("sasrec", "interval"),
        ("sasrec", "length"),
        ("gconvgru", "updates"),
        ("gconvgru", "interval_days"),
    ],
)
def test_a_setting_with_which_nothing_is_learned_is_refused(name: str, setting: str) -> None:
    with pytest.raises(ValueError, match=rf"{setting} = 0"):
        build_baseline(name, **{setting: 0})
