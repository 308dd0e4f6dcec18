"""Sparse rows agree with dictionaries that evict by priority."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.slots import FIRST_WIDTH, SlotTable, find_slot, take_slot

ROWS = 3
Pair = tuple[int, int, float]
Table = dict[int, dict[int, tuple[float, float]]]


class Dictionaries:
    """The reference: a key's priority and how often it came; the lowest priority goes, of equal ones the first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows: Table = {row: {} for row in range(ROWS + 1)}

    def take(self, row: int, key: int, priority: float) -> None:
        keys = self.rows[row]
        if key not in keys and len(keys) == self.capacity:
            lowest = min(keys, key=lambda known: keys[known][0])
            # The newcomer stands where the evicted key stood.
            keys = {key if known == lowest else known: kept for known, kept in keys.items()}
            keys[key] = (0.0, 0.0)
        _, times = keys.get(key, (0.0, 0.0))
        keys[key] = (priority, times + 1)
        self.rows[row] = keys


def take(table: SlotTable, row: int, key: int, priority: float) -> int:
    while (slot := take_slot(table.keys_array, table.values_array, row, key, table.may_widen)) < 0:
        assert table.widen()
    table.column("newest")[row, slot] = priority
    table.column("times")[row, slot] += 1
    return slot


def content(table: SlotTable) -> Table:
    found: Table = {}
    for row, keys in enumerate(table.keys.tolist()):
        taken = [key for key in keys if key]
        assert len(taken) == len(set(taken)), "a key stands in two slots"
        assert keys[: len(taken)] == taken, "a free slot stands before a taken one"
        assert [find_slot(table.keys_array, row, key) for key in taken] == list(range(len(taken)))
        newest, times = table.column("newest")[row].tolist(), table.column("times")[row].tolist()
        found[row] = {key: (newest[slot], times[slot]) for slot, key in enumerate(keys) if key}
    return found


def two_rows(capacity: int, most_bytes: int | None = None) -> SlotTable:
    table = SlotTable(capacity, ("newest", "times"), most_bytes)
    table.grow(2)
    return table


def reloaded(table: SlotTable) -> SlotTable:
    again = SlotTable(table.capacity, ("newest", "times"))
    again.load_state({name: value.clone() for name, value in table.state().items()})
    return again


PAIRS = st.tuples(st.integers(1, ROWS), st.integers(1, 30), st.integers(-3, 9).map(float))


@settings(deadline=None)
@given(st.sampled_from((1, 3, FIRST_WIDTH, 19)), st.lists(PAIRS, max_size=120), st.integers(0, ROWS))
def test_rows_keep_the_pairs_of_highest_priority(capacity: int, log: list[Pair], forgotten: int) -> None:
    table, reference = SlotTable(capacity, ("newest", "times")), Dictionaries(capacity)
    table.grow(ROWS + 1)
    for number, pair in enumerate(log):
        take(table, *pair)
        reference.take(*pair)
        if number == 40:
            table.forget_row(forgotten)
            reference.rows[forgotten] = {}
            assert content(table) == reference.rows
        if number % 25 == 0:
            table = reloaded(table)
    assert content(table) == reference.rows
    assert table.width <= capacity


@pytest.mark.parametrize("key", [0, 9])
def test_a_key_that_was_not_taken_is_found_nowhere(key: int) -> None:
    table = two_rows(FIRST_WIDTH)
    assert find_slot(table.keys_array, 1, key) == -1
    for other in range(1, FIRST_WIDTH + 1):
        take(table, 1, other, 1.0)
    assert find_slot(table.keys_array, 1, key) == -1


def test_a_full_row_of_a_table_that_may_widen_is_left_as_it_is() -> None:
    table = two_rows(20)
    for key in range(1, FIRST_WIDTH + 1):
        take(table, 1, key, float(key))
    before = content(table)
    assert take_slot(table.keys_array, table.values_array, 1, 99, True) == -1
    assert content(table) == before
    assert take_slot(table.keys_array, table.values_array, 1, 5, True) == 4, "what stands there needs no room"


def test_of_equally_low_pairs_the_one_in_the_lowest_slot_goes() -> None:
    table = two_rows(3)
    for key in (7, 8, 9):
        take(table, 1, key, 1.0)
    assert take(table, 1, 10, 1.0) == 0
    assert table.keys[1].tolist() == [10, 8, 9]
    assert table.column("times")[1, 0] == 1, "a slot comes without what stood in it"


def test_width_grows_to_the_capacity_and_no_further() -> None:
    table = two_rows(20)
    assert table.widest == 20
    for key in range(1, 40):
        take(table, 1, key, float(key))
        assert table.width == (FIRST_WIDTH if key <= 8 else 16 if key <= 16 else 20)
    assert sorted(content(table)[1]) == list(range(20, 40))
    assert not table.widen()


def test_a_table_stays_within_its_bytes_and_evicts_instead() -> None:
    a_slot_of_both_rows = 2 * (4 + 8 * 2)
    table = two_rows(64, most_bytes=40 * a_slot_of_both_rows)
    assert table.widest == 32
    for key in range(1, 60):
        take(table, 1, key, float(key))
    assert table.width == 32
    assert sorted(content(table)[1]) == list(range(28, 60))
    roomy, crowded = two_rows(64, most_bytes=1_000_000), two_rows(64, most_bytes=1_000_000)
    crowded.grow(10_000)
    assert roomy.may_widen and not crowded.may_widen


def test_rows_added_after_widening_are_empty_and_as_wide() -> None:
    table = two_rows(16)
    for key in range(1, 13):
        take(table, 1, key, float(key))
    table.grow(200)
    for key in range(1, 13):
        take(table, 199, key, float(key))
    assert content(table)[199] == content(table)[1]
    table.truncate(2)
    table.grow(200)
    assert content(table)[199] == {}


def test_a_column_and_the_arrays_are_one_memory() -> None:
    table = two_rows(4)
    take(table, 1, 7, 2.5)
    assert table.values_array[1, 0].tolist() == [2.5, 1.0]
    table.column("times").mul_(torch.tensor(4.0, dtype=torch.float64))
    assert table.values_array[1, 0].tolist() == [2.5, 4.0]
    assert table.keys_array[1].tolist() == table.keys[1].tolist() == [7, 0, 0, 0]


def test_a_table_that_gets_too_many_rows_narrows_to_the_pairs_of_highest_priority() -> None:
    a_slot_of_both_rows = 2 * (4 + 8 * 2)
    table = two_rows(64, most_bytes=40 * a_slot_of_both_rows)
    for key in range(1, 31):
        take(table, 1, key, float(key % 20))
    table.fit()
    assert table.width == 32, "it fits"
    table.grow(4)
    table.fit()
    assert (table.width, table.may_widen) == (16, False)
    kept = sorted(range(1, 31), key=lambda key: (key % 20, key))[-16:]
    assert sorted(content(table)[1]) == sorted(kept)
    assert content(table)[2] == {}
    table.grow(1_000)
    table.fit()
    assert table.width == FIRST_WIDTH, "a row keeps its first slots whatever the bytes"
    assert take(table, 1, 99, 50.0) >= 0
    assert len(content(table)[1]) == FIRST_WIDTH
