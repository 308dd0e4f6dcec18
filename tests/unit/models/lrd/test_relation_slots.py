"""Relation slots keep their meaning from version to version, and a collapse is noticed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.relations import Pair, RelationSlot, RelationTable
from models.lrd.table import aligned, assignment, match_slots, strongest_pairs
from models.lrd.usage import collapsed, effective_slots


def table_of(embeddings: np.ndarray, usage: list[float], names: list[str] | None = None) -> RelationTable:
    names = names or [""] * len(usage)
    slots = [
        RelationSlot(row.astype("<f2").tobytes(), share, name=name)
        for row, share, name in zip(embeddings, usage, names, strict=True)
    ]
    return RelationTable(1, 10, 3, tuple(slots), "statistical")


def test_shuffled_and_slightly_moved_slots_find_their_places_and_keep_their_names() -> None:
    rng = np.random.default_rng(2)
    old, usage = rng.normal(size=(8, 16)), rng.random(8).tolist()
    names = [f"meaning {number}" for number in range(8)]
    shuffled = rng.permutation(8)
    moved = old[shuffled] + 0.1 * rng.normal(size=(8, 16))
    new = table_of(moved, [usage[place] for place in shuffled])
    before = table_of(old, usage, names)
    assert [shuffled[place] for place in match_slots(before, new)] == list(range(8))
    after = aligned(before, new)
    assert [slot.name for slot in after.slots] == names
    np.testing.assert_allclose(after.embeddings(), moved[np.argsort(shuffled)], atol=0.01)


def test_usage_decides_between_slots_that_look_alike() -> None:
    alike = np.ones((2, 4))
    assert match_slots(table_of(alike, [0.9, 0.1]), table_of(alike, [0.1, 0.9])) == [1, 0]


def test_a_slot_that_became_something_else_loses_the_name_and_a_new_name_stays() -> None:
    old = table_of(np.array([[1.0, 0], [0, 1]]), [0.5, 0.5], ["refill of", "goes with"])
    new = table_of(np.array([[0.3, -0.9], [0, 1]]), [0.5, 0.5], ["", "worn with"])
    assert [slot.name for slot in aligned(old, new).slots] == ["", "worn with"]


def test_an_embedding_of_zeros_can_be_matched() -> None:
    old = table_of(np.array([[0.0, 0], [0, 1]]), [0.0, 1.0])
    assert match_slots(old, table_of(np.array([[0.0, 2], [0, 0]]), [1.0, 0.0])) == [1, 0]


def test_tables_of_another_k_or_width_are_refused() -> None:
    three = table_of(np.eye(3), [1, 1, 1])
    with pytest.raises(ValueError, match="3 and 2 slots cannot be matched"):
        match_slots(three, table_of(np.eye(3)[:2], [1, 1]))
    with pytest.raises(ValueError, match="3 and 4 numbers"):
        aligned(three, table_of(np.ones((3, 4)), [1, 1, 1]))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.integers(-9, 9), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_the_assignment_is_the_cheapest_of_all(rows: list[list[int]]) -> None:
    cost = np.array(rows, dtype=float)
    columns = assignment(cost)
    assert sorted(columns) == list(range(len(cost)))
    cheapest = min(
        sum(cost[row, column] for row, column in enumerate(order)) for order in itertools.permutations(columns)
    )
    assert sum(cost[row, column] for row, column in enumerate(columns)) == pytest.approx(cheapest)


def test_a_collapse_is_one_slot_doing_nearly_all() -> None:
    assert effective_slots([1, 1, 1, 1]) == pytest.approx(4)
    assert effective_slots([0.97, 0.01, 0.01, 0.01]) < 1.2
    assert collapsed([0.97, 0.01, 0.01, 0.01])
    assert not collapsed([0.4, 0.3, 0.2, 0.1])
    with pytest.raises(ValueError, match="no histogram"):
        effective_slots([0, 0])
    with pytest.raises(ValueError, match="no histogram"):
        effective_slots([2, -1])


def test_the_strongest_pairs_come_once_each_and_no_item_tells_the_whole_story() -> None:
    pairs = [("a", "b"), ("b", "a"), ("a", "c"), ("a", "d"), ("e", "e"), ("f", "g")]
    posterior = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.99, 0.01], [0.2, 0.8]])
    first, second = strongest_pairs(posterior, pairs, 3)
    assert first == (Pair("a", "b", 0.9), Pair("a", "c", 0.7), Pair("f", "g", 0.2))
    assert second == (Pair("f", "g", 0.8), Pair("a", "d", 0.4), Pair("a", "c", 0.3))
    with pytest.raises(ValueError, match="of 5 pairs"):
        strongest_pairs(posterior, pairs[:5], 3)


def test_pairs_of_equal_texts_tie_and_are_ordered_by_their_ids() -> None:
    pairs = [("d", "c"), ("b", "a")]
    assert [pair.past for pair in strongest_pairs(np.full((2, 1), 0.5), pairs, 2)[0]] == ["b", "d"]
    assert strongest_pairs(np.full((2, 1), 0.5), pairs, 2) == strongest_pairs(np.full((2, 1), 0.5), pairs[::-1], 2)
