"""The protocol of link prediction: split, order, ranks, and the figures made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_edges import EDGES, N_ITEMS, edge_log

from evaluation.link_prediction import average_precision, feed, first_times, rank, report, time_split
from evaluation.link_scorers import SIMPLE_SCORERS
from evaluation.readers.edges import EdgeLog, Ints


class Diary:
    """Scores items by a fixed order and writes down what it was asked and told."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, list[int]]] = []

    def scores(self, users: Ints, ts: Ints, seq: Ints) -> np.ndarray:
        self.entries.append(("asked", seq.tolist()))
        return np.tile(-np.arange(N_ITEMS, dtype=np.float64), (len(users), 1))

    def update(self, batch: EdgeLog) -> None:
        self.entries.append(("told", batch.seq.tolist()))


LOG = edge_log([(0, 1, 5), (1, 1, 5), (0, 1, 0), (2, 4, 1), (1, 0, 7), (0, 4, 1), (2, 4, 1), (1, 1, 3)])


def test_every_batch_is_ranked_whole_before_any_of_it_is_seen() -> None:
    diary = Diary()
    feed(diary, LOG, 0, 3, 2)
    rank(diary, LOG, 3, 8, 2)
    assert diary.entries == [
        ("told", [0, 1]),
        ("told", [2]),
        ("asked", [3, 4]),
        ("told", [3, 4]),
        ("asked", [5, 6]),
        ("told", [5, 6]),
        ("asked", [7]),
        ("told", [7]),
    ]


def test_progress_is_told_every_event_once() -> None:
    ticks: list[int] = []
    feed(Diary(), LOG, 0, 3, 2, tick=ticks.append)
    rank(Diary(), LOG, 3, 8, 2, tick=ticks.append)
    assert ticks == [2, 1, 2, 2, 1]


def test_figures_are_those_of_ranks_worked_by_hand() -> None:
    ranking = rank(Diary(), LOG, 3, 8, 2)
    assert ranking.ranks.tolist() == [5, 1, 5, 5, 2]
    it = report(ranking, LOG, 3, 2)
    assert (it.events, it.batch) == (5, 2)
    assert it.mrr == pytest.approx((1 / 5 + 1 + 1 / 5 + 1 / 5 + 1 / 2) / 5)
    # (2, 4) was new at place 3 and known at 6; (1, 1) was known from place 1.
    assert it.first_time_events == 3
    assert it.first_time_mrr == pytest.approx((1 / 5 + 1 + 1 / 5) / 3)
    assert (it.hits_1, it.hits_10) == (0.2, 1.0)


def test_random_items_are_the_same_for_every_scorer_and_every_cut() -> None:
    whole = rank(Diary(), LOG, 0, 8, 8).negative
    assert rank(Diary(), LOG, 3, 8, 2).negative.tolist() == whole[3:].tolist()


@given(EDGES)
def test_first_times_are_what_a_set_says(log: EdgeLog) -> None:
    seen: set[tuple[int, int]] = set()
    for place, pair in enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True)):
        assert first_times(log)[place] == (pair not in seen)
        seen.add(pair)


@given(EDGES, st.sampled_from(sorted(SIMPLE_SCORERS)), st.integers(1, 9))
def test_ranks_know_nothing_of_their_batch_or_of_what_comes_after(log: EdgeLog, name: str, batch: int) -> None:
    scorer = SIMPLE_SCORERS[name](log.n_users, log.n_items)
    ranks = rank(scorer, log, 0, len(log), batch).ranks
    # Alone with the events before its batch, an event is ranked the same.
    place = len(log) // 2
    fresh = SIMPLE_SCORERS[name](log.n_users, log.n_items)
    feed(fresh, log, 0, place // batch * batch, 1)
    assert rank(fresh, log, place, place + 1, 1).ranks[0] == ranks[place]


def test_the_usual_split_has_the_usual_sizes() -> None:
    log = edge_log([(0, 0, 1)] * 157_474)
    split = time_split(log)
    sizes = (split.train, split.validation - split.train, split.end - split.validation)
    assert sizes == (110_232, 23_621, 23_621)
    assert time_split(edge_log([(0, 0, 1)] * 10)).train == 7


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="leave a rest"):
        time_split(LOG, train=0.9, validation=0.2)
    with pytest.raises(ValueError, match="cannot be cut into three"):
        time_split(LOG.part(0, 2))
    with pytest.raises(ValueError, match="batch = 0 holds no event"):
        rank(Diary(), LOG, 0, 8, 0)

    class Narrow(Diary):
        def scores(self, users: Ints, ts: Ints, seq: Ints) -> np.ndarray:
            return super().scores(users, ts, seq)[:, 1:]

    with pytest.raises(ValueError, match=r"scores are \(2, 4\); 2 queries need \(2, 5\)"):
        rank(Narrow(), LOG, 0, 8, 2)


FEW = st.lists(st.sampled_from([-np.inf, 0.0, 0.5, 1.0]), min_size=1, max_size=12)


@given(FEW, FEW)
def test_average_precision_is_the_sum_over_thresholds(positive: list[float], negative: list[float]) -> None:
    expected, before = 0.0, 0
    for threshold in sorted({*positive, *negative}, reverse=True):
        found = sum(score >= threshold for score in positive)
        taken = found + sum(score >= threshold for score in negative)
        expected += (found - before) / len(positive) * found / taken
        before = found
    assert average_precision(np.array(positive), np.array(negative)) == pytest.approx(expected)


def test_average_precision_of_nothing_is_nan() -> None:
    assert np.isnan(average_precision(np.array([]), np.array([1.0])))
