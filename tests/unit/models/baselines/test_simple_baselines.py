"""The fast baselines equal slow dictionaries, whatever is learned; following learns nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import Naive

from models.baselines import Basket, Recommender, Setting, baseline_names, build_baseline, search_space
from models.baselines.recommender import Follower

HOUR, DAY = 3_600_000, 86_400_000
SIMPLE = ("popularity", "decayed-popularity", "own", "cooccurrence", "markov", "blend")

Draws = list[tuple[int, int, list[tuple[int, int]]]]
BASKETS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 50),
        st.lists(st.tuples(st.integers(1, 9), st.sampled_from([1, 1, 1, 0, -1])), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=25,
)


def baskets_of(draws: Draws) -> list[Basket]:
    """Baskets in time order, hours apart, items as rows of first appearance."""
    rows: dict[int, int] = {}
    ts, baskets = 1_000 * DAY, []
    for user, hours, lines in draws:
        ts += hours * HOUR
        items = [rows.setdefault(item, len(rows) + 1) for item, _ in lines]
        baskets.append(Basket(user, ts, np.array(items), np.array([sign for _, sign in lines], dtype=np.int8)))
    return baskets


def both(name: str, draws: Draws, **chosen: Setting) -> tuple[Recommender, Naive, int]:
    fast, slow = build_baseline(name, **chosen), Naive()
    baskets = baskets_of(draws)
    for basket in baskets:
        fast.learn(basket)
        slow.learn(basket)
    return fast, slow, baskets[-1].ts + 7 * HOUR


@settings(deadline=None)
@given(BASKETS)
def test_popularity_counts(draws: Draws) -> None:
    fast, slow, now = both("popularity", draws)
    assert fast.scores(1, now).tolist() == slow.popularity()


@settings(deadline=None)
@given(BASKETS, st.sampled_from([0.01, 1.0, 30.0]))
def test_decayed_popularity_is_the_decayed_sum(draws: Draws, days: float) -> None:
    fast, slow, now = both("decayed-popularity", draws, half_life_days=days)
    assert fast.scores(1, now) == pytest.approx(slow.decayed(now, days * DAY), rel=1e-9, abs=1e-300)


def test_equal_decayed_counts_stay_equal_over_thousands_of_half_lives() -> None:
    fast = build_baseline("decayed-popularity", half_life_days=1.0)
    for day in range(0, 3_000, 300):
        fast.learn(Basket(1, day * DAY, np.array([1, 2]), np.ones(2, dtype=np.int8)))
    fast.learn(Basket(1, 3_000 * DAY, np.array([3]), np.ones(1, dtype=np.int8)))
    scores = fast.scores(1, 3_000 * DAY)
    assert scores[3] == 1.0 and scores[1] == scores[2] == pytest.approx(2.0**-300, rel=1e-9)


@settings(deadline=None)
@given(BASKETS, st.sampled_from([0.5, 1.0]), st.sampled_from([1, 2, 10]))
def test_cooccurrence_is_the_cosine_within_the_window(draws: Draws, decay: float, window: int) -> None:
    fast, slow, now = both("cooccurrence", draws, decay=decay, window=window)
    for user in range(1, 6):
        assert fast.scores(user, now) == pytest.approx(slow.cooccurrence(user, decay, window))


@settings(deadline=None)
@given(BASKETS)
def test_markov_counts_transitions_then_popularity(draws: Draws) -> None:
    fast, slow, now = both("markov", draws)
    for user in range(1, 6):
        assert fast.scores(user, now) == pytest.approx(slow.markov(user))


@settings(deadline=None, max_examples=50)
@given(BASKETS, st.sampled_from([0.5, 90.0]))
def test_own_items_come_first_by_decayed_count_then_popularity(draws: Draws, days: float) -> None:
    fast, slow, now = both("own", draws, half_life_days=days)
    for user in (1, 2, 5):
        scores = fast.scores(user, now)
        for one in range(1, slow.items + 1):
            for two in range(1, slow.items + 1):
                if slow.own_before(user, now, days * DAY, one, two):
                    assert scores[one] > scores[two]


def test_old_own_items_stay_ahead_of_popular_ones_however_short_the_half_life() -> None:
    own = build_baseline("own", half_life_days=0.01)
    own.learn(Basket(1, 0, np.array([1, 2]), np.ones(2, dtype=np.int8)))
    for day in range(1, 400):
        own.learn(Basket(2, day * DAY, np.array([3, 2]), np.ones(2, dtype=np.int8)))
    scores = own.scores(1, 400 * DAY)
    assert scores[2] > scores[1] > scores[3]


@settings(deadline=None, max_examples=50)
@given(BASKETS, st.booleans())
def test_the_blend_is_the_weighted_sum_of_scaled_parts(draws: Draws, mask_seen: bool) -> None:
    weights: dict[str, Setting] = {"cooccurrence": 2.0, "decayed": 0.5, "own": 3.0, "mask_seen": mask_seen}
    fast, slow, now = both("blend", draws, **weights, decay=0.5, half_life_days=2.0, own_half_life_days=5.0)
    for user in (1, 2, 5):
        mine = Naive()
        mine.items, mine.events = slow.items, [event for event in slow.events if event[0] == user]
        own = np.array(mine.decayed(now, 5.0 * DAY))
        masked = (own > 0) & mask_seen
        expected = np.zeros(slow.items + 1)
        parts = ((2.0, slow.cooccurrence(user, 0.5, 10), masked), (0.5, slow.decayed(now, 2.0 * DAY), masked))
        for weight, part, hidden in (*parts, (3.0, own.tolist(), np.zeros_like(masked))):
            largest = np.array(part)[~hidden].max(initial=0)
            expected += weight * np.array(part) / (largest if largest > 0 else 1.0)
        assert fast.scores(user, now) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(BASKETS, st.sampled_from(SIMPLE))
def test_following_changes_nothing_for_other_users_but_the_number_of_items(draws: Draws, name: str) -> None:
    fast, _, now = both(name, draws)
    others = [user for user in range(1, 6) if user != 2]
    before = {user: fast.scores(user, now).copy() for user in others}
    assert isinstance(fast, Follower)
    newest = len(before[1])
    fast.follow(Basket(2, now, np.array([1, newest]), np.ones(2, dtype=np.int8)))
    for user in others:
        after = fast.scores(user, now)
        assert len(after) == newest + 1
        assert after[:-1] == pytest.approx(before[user]) and after[-1] == 0


@pytest.mark.parametrize("name", SIMPLE)
def test_scores_of_nobody_and_before_anything_are_there(name: str) -> None:
    fresh = build_baseline(name)
    assert fresh.scores(5, 0).tolist() == [0.0]
    fresh.learn(Basket(1, 0, np.array([1]), np.array([-1], dtype=np.int8)))
    assert np.isfinite(fresh.scores(5, 0)).all() and len(fresh.scores(5, 0)) == 2


def test_hundreds_of_users_and_items_are_grown_into() -> None:
    rng = np.random.default_rng(0)
    draws = [(int(rng.integers(1, 700)), 1, [(int(rng.integers(1, 900)), 1)]) for _ in range(2_500)]
    for name, slow_scores in (
        ("markov", Naive.markov),
        ("cooccurrence", lambda slow, user: slow.cooccurrence(user, 0.7, 10)),
    ):
        fast, slow, now = both(name, draws)
        for user in (1, 350, 699):
            assert fast.scores(user, now) == pytest.approx(slow_scores(slow, user))


@pytest.mark.parametrize(
    ("name", "chosen", "complaint"),
    [
        ("popularest", {}, "'popularest' is unknown; use one of: popularity, decayed-popularity, own"),
        ("markov", {"decay": 1.0}, "'markov' has no setting 'decay'; it has: none"),
        ("own", {"halflife": 1.0}, "it has: half_life_days"),
        ("own", {"half_life_days": 0.0}, "half_life_days = 0.0: use a number of days above 0"),
        ("cooccurrence", {"decay": 1.5}, "decay = 1.5: use a number above 0, up to 1"),
        ("cooccurrence", {"window": 0}, "window = 0: use 1 item or more"),
        ("blend", {"own": -1.0}, "own = -1.0: use a weight of 0 or more"),
    ],
)
def test_unknown_names_and_settings_are_refused_with_the_fix(
    name: str, chosen: dict[str, Setting], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        build_baseline(name, **chosen)


@pytest.mark.parametrize("name", baseline_names())
def test_every_value_of_a_search_space_can_be_built(name: str) -> None:
    for setting, values in search_space(name).items():
        for value in values:
            assert build_baseline(name, **{setting: value}).settings[setting] == value
