from __future__ import annotations

import numpy as np
import pytest
from reasoning_rig import FixedScores, circling, split

from evaluation.metrics import middle_rank
from evaluation.reasoning import full_ranking
from evaluation.reasoning.full_ranking import figures, full_ranks
from evaluation.reasoning.held_out import HeldOutHistories


def test_a_users_last_two_events_are_held_out_and_all_before_is_learned() -> None:
    log = circling()
    data = split(log)
    histories = data.histories
    for test, validation in zip(data.tests, data.validation, strict=True):
        assert test == validation + 1
        assert histories.known(np.array([test])) == 5
        assert test + 1 == len(histories.items) or histories.starts[test + 1] == test + 1
    held = set(data.tests) | set(data.validation)
    firsts = set(np.unique(histories.starts))
    assert set(data.learned) == set(range(len(histories.items))) - held - firsts
    np.testing.assert_array_equal(log.items[data.rows], histories.items)
    assert (np.diff(log.ts[data.rows])[np.diff(histories.starts) == 0] >= 0).all()


def test_shuffling_moves_events_within_a_users_day_only_and_by_its_seed() -> None:
    log = circling()
    published = split(log)
    one, same, other = (HeldOutHistories.of(log, "shuffled", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.rows, same.rows)
    assert (one.rows != other.rows).any() and (one.rows != published.rows).any()
    np.testing.assert_array_equal(log.ts[one.rows], log.ts[published.rows])
    np.testing.assert_array_equal(log.users[one.rows], log.users[published.rows])
    with pytest.raises(ValueError, match="order 'random' is unknown; use one of: published, shuffled"):
        HeldOutHistories.of(log, "random", 0)  # type: ignore[arg-type]


def test_ranks_are_those_of_a_loop_over_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_ranking, "CHUNK", 7)
    data = split(circling(events=9, items=7))
    # Few distinct scores, so that there are ties; walking on along 7 items, the ninth event repeats an earlier item.
    scores = np.random.default_rng(0).integers(0, 4, (len(data.tests), 8)).astype(float)
    ranks = full_ranks(FixedScores(scores), data.histories, data.tests)
    for user, place in enumerate(data.tests):
        target = data.histories.items[place]
        plain = scores[user].copy()
        plain[0] = -np.inf
        assert ranks.unmasked[user] == middle_rank(plain, target)[0]
        before = data.histories.items[data.histories.starts[place] : place]
        assert target in before
        plain[[item for item in before if item != target]] = -np.inf
        assert ranks.masked[user] == middle_rank(plain, target)[0]


def test_figures_are_hit_rate_and_gain_at_5_and_10() -> None:
    found = figures(np.array([1.0, 7.0, 30.0, 3.0]))
    assert found == {
        "HR@5": 0.5,
        "HR@10": 0.75,
        "NDCG@5": pytest.approx(1.5 / 4),
        "NDCG@10": pytest.approx((1.5 + 1 / 3) / 4),
    }
