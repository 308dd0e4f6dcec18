from __future__ import annotations

import numpy as np
import pytest

from models.sequential.histories import Histories


def test_a_place_knows_what_came_before_it_and_nothing_of_other_users() -> None:
    histories = Histories.of(np.array([7, 7, 7, 7, 2, 2]), np.array([1, 2, 3, 4, 5, 6]))
    sequences, lengths = histories.before(np.array([3, 1, 5]), longest=50)
    assert sequences.tolist() == [[1, 2, 3], [1, 0, 0], [5, 0, 0]]
    assert lengths.tolist() == [3, 1, 1]
    assert histories.before(np.array([3]), longest=2)[0].tolist() == [[2, 3]], "the latest"


def test_later_items_change_no_history() -> None:
    users, items = np.repeat(np.arange(3), 5), np.arange(1, 16)
    one = Histories.of(users, items)
    changed = items.copy()
    changed[[3, 4, 8, 9, 13, 14]] = 99
    other = Histories.of(users, changed)
    for places in (np.array([1, 6, 11]), np.array([3, 8, 13])):
        assert one.before(places, 50)[0].tolist() == other.before(places, 50)[0].tolist()


def test_a_first_place_and_a_torn_user_are_refused() -> None:
    histories = Histories.of(np.array([0, 0, 1]), np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="place 2 is its user's first"):
        histories.before(np.array([1, 2]), 50)
    with pytest.raises(ValueError, match="several pieces"):
        Histories.of(np.array([0, 1, 0]), np.array([1, 2, 3]))
