"""A log as arrays: order, groups, rows, and what is known before each group."""

from __future__ import annotations

import numpy as np
import pytest
from small_coded import drawn, log_of, small

from dyngraph.events import EventType
from evaluation.coded import coded


def test_a_group_comes_together_at_its_first_row_and_keeps_its_order() -> None:
    log = small("ann:a@1 bob:b@1 ann:c@1 bob:a@2 ann:d@2 bob:e@2")
    assert [log.user_ids[user] for user in log.users] == ["ann", "ann", "bob", "bob", "bob", "ann"]
    assert [log.item_ids[item] for item in log.items] == ["a", "c", "b", "a", "e", "d"]
    assert log.borders.tolist() == [0, 2, 3, 5, 6]
    assert log.order.tolist() == [0, 2, 1, 3, 5, 4]


def test_rows_count_first_appearances_so_that_seen_items_are_a_prefix() -> None:
    log = drawn(200)
    seen = set()
    for group in range(log.n_groups):
        start = log.borders[group]
        assert seen == set(range(1, log.items_before[start] + 1))
        seen |= set(log.basket(group).items.tolist())
    assert (log.users[0], log.items[0], log.user_ids[0], log.item_ids[0]) == (1, 1, "", "")


def test_impressions_are_left_out_and_signs_follow_the_event_type() -> None:
    types = {"a": EventType.IMPRESSION, "b": EventType.DISLIKE, "c": EventType.REMOVE, "d": EventType.VIEW}
    log = coded(log_of("ann:a@1 ann:b@2 ann:c@3 ann:d@4", types))
    assert log.item_ids == ["", "b", "c", "d"]
    assert log.sign.tolist() == [-1, -1, 1]
    assert log.target.tolist() == [False, False, True]
    assert log.order.tolist() == [1, 2, 3]


def test_targets_and_the_rating_threshold_decide_what_is_a_hit() -> None:
    source = log_of("ann:a@1 ann:b@2 ann:c@3", {"a": EventType.RATING, "b": EventType.RATING, "c": EventType.VIEW})
    frame = source.frame.with_columns(value=source.frame["value"].scatter([0, 1], [3.5, 4.0]))
    log = type(source)("rated", frame)
    assert coded(log, rating_threshold=4).target.tolist() == [False, True, True]
    assert coded(log, targets=[EventType.RATING]).target.tolist() == [True, True, False]
    assert coded(log, rating_threshold=4).sign.tolist() == [1, 1, 1]


@pytest.mark.parametrize("never", [EventType.IMPRESSION, EventType.DISLIKE, EventType.REMOVE])
def test_what_never_says_wanted_is_refused_as_a_target(never: EventType) -> None:
    with pytest.raises(ValueError, match=f"{never.label} is never a hit; use some of: view, "):
        coded(log_of("ann:a@1"), targets=[EventType.VIEW, never])


def test_a_log_of_impressions_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="no interaction besides impressions"):
        coded(log_of("ann:a@1", {"a": EventType.IMPRESSION}))


def test_what_was_known_before_a_group_does_not_count_the_group_itself() -> None:
    log = small("ann:a@1 ann:a@1 ann:b@2 bob:a@2 ann:a@3 ann:b@3 ann:b@3")
    assert log.repeat.tolist() == [False, False, False, False, True, True, True]
    assert log.user_events_before.tolist() == [0, 0, 2, 0, 3, 3, 3]
    assert log.item_events_before.tolist() == [0, 0, 0, 2, 3, 1, 1]
    assert log.items_before.tolist() == [0, 0, 1, 2, 2, 2, 2]


def test_the_head_of_a_log_is_what_coding_its_head_gives() -> None:
    whole, head = small("ann:a@1 bob:b@1 ann:c@2 ann:d@2"), small("ann:a@1 bob:b@1")
    for rows in (2, 3):  # Row 3 is inside a group, which is left out whole.
        cut = whole.head(rows)
        assert (cut.digest, cut.item_ids, cut.user_ids) == (head.digest, head.item_ids, head.user_ids)


def test_a_log_without_some_rows_is_what_coding_the_others_gives() -> None:
    whole = small("ann:a@1 bob:b@1 bob:c@1 ann:c@2 cem:d@3")
    rest = whole.only(np.array([False, True, False, True, True]))
    assert rest.digest == small("bob:b@1 ann:c@2 cem:d@3").digest
    assert rest.order.tolist() == [1, 3, 4]


def test_some_users_bring_all_their_rows_and_nobody_elses() -> None:
    log = drawn(200)
    some = log.some_users(3)
    assert some.n_users == 3
    assert some.digest == log.some_users(3).digest != log.some_users(3, seed=1).digest
    theirs = [row for row, user in enumerate(log.users) if log.user_ids[user] in some.user_ids[1:]]
    assert some.order.tolist() == log.order[theirs].tolist()
    assert log.some_users(log.n_users).digest == log.digest


@pytest.mark.parametrize("count", [0, -1, 10_000])
def test_more_users_than_there_are_or_none_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"users: {count} of "):
        drawn(200).some_users(count)


def test_the_digest_tells_logs_apart_that_differ_in_ids_alone() -> None:
    assert small("ann:a@1").digest == small("ann:a@1").digest
    assert len({small(text).digest for text in ("ann:a@1", "ann:b@1", "bob:a@1", "ann:a@2")}) == 4
