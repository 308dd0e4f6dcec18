"""Sparse rows agree with dictionaries that evict by priority."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.slots import FIRST_WIDTH, SlotTable

ROWS = 3
Table = dict[int, dict[int, tuple[float, float]]]


class Dictionaries:
    """The reference: one pair at a time, the best newcomers of a batch first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows: Table = {row: {} for row in range(ROWS + 1)}

    def take(self, batch: list[tuple[int, int, float]]) -> None:
        touched = {(row, key) for row, key, _ in batch if key in self.rows[row]}
        newcomers = [entry for entry in batch if entry[:2] not in touched]
        for row, key, priority in sorted(newcomers, key=lambda entry: -entry[2]):
            keys = self.rows[row]
            if len(keys) == self.capacity:
                old = [known for known in keys if (row, known) not in touched]
                if not old:
                    continue
                del keys[min(old, key=lambda known: keys[known][0])]
            touched.add((row, key))
            keys[key] = (priority, 1.0)
        for row, key, priority in batch:
            if (row, key) not in {entry[:2] for entry in newcomers}:
                self.rows[row][key] = (priority, self.rows[row][key][1] + 1)


def take(table: SlotTable, batch: list[tuple[int, int, float]]) -> None:
    rows, keys = (torch.tensor([entry[column] for entry in batch], dtype=torch.int64) for column in (0, 1))
    priority = torch.tensor([entry[2] for entry in batch], dtype=torch.float64)
    slot = table.slots(rows, keys, priority)
    kept = slot >= 0
    table.column("newest")[rows[kept], slot[kept]] = priority[kept]
    table.column("times")[rows[kept], slot[kept]] += 1


def content(table: SlotTable) -> Table:
    found: Table = {}
    for row, keys in enumerate(table.keys.tolist()):
        taken = [key for key in keys if key]
        assert len(taken) == len(set(taken)), "a key stands in two slots"
        newest, times = table.column("newest")[row].tolist(), table.column("times")[row].tolist()
        found[row] = {key: (newest[slot], times[slot]) for slot, key in enumerate(keys) if key}
    return found


def reloaded(table: SlotTable) -> SlotTable:
    again = SlotTable(table.capacity, ("newest", "times"))
    again.load_state(table.state())
    return again


@st.composite
def batches(draw: st.DrawFn, most_keys: int) -> list[list[tuple[int, int, float]]]:
    pair = st.tuples(st.integers(1, ROWS), st.integers(1, most_keys))
    shapes = draw(st.lists(st.lists(pair, unique=True, min_size=1, max_size=30), max_size=6))
    order = draw(st.permutations(range(1, sum(map(len, shapes)) + 1)))
    numbers = iter(order)
    return [[(row, key, float(next(numbers))) for row, key in shape] for shape in shapes]


@settings(deadline=None)
@given(st.sampled_from((1, 3, FIRST_WIDTH, 19)), batches(most_keys=30), st.integers(0, ROWS))
def test_rows_keep_the_pairs_of_highest_priority(
    capacity: int, log: list[list[tuple[int, int, float]]], forgotten: int
) -> None:
    table, reference = SlotTable(capacity, ("newest", "times")), Dictionaries(capacity)
    table.grow(ROWS + 1)
    for number, batch in enumerate(log):
        take(table, batch)
        reference.take(batch)
        assert content(table) == reference.rows
        if number == 2:
            table.forget_row(forgotten)
            reference.rows[forgotten] = {}
        table = reloaded(table)
    assert table.keys.shape[1] <= capacity


def test_a_pair_found_in_the_batch_is_never_evicted_by_a_newcomer_of_the_same_batch() -> None:
    table = SlotTable(2, ("newest", "times"))
    table.grow(2)
    take(table, [(1, 7, 1.0), (1, 8, 2.0)])
    take(table, [(1, 7, 3.0), (1, 9, 9.0), (1, 10, 8.0)])
    assert content(table)[1] == {7: (3.0, 2.0), 9: (9.0, 1.0)}


def test_width_grows_to_the_capacity_and_no_further() -> None:
    table = SlotTable(20, ("newest", "times"))
    table.grow(2)
    for key in range(1, 40):
        take(table, [(1, key, float(key))])
        assert table.keys.shape[1] == (FIRST_WIDTH if key <= 8 else 16 if key <= 16 else 20)
    assert sorted(content(table)[1]) == list(range(20, 40))


def test_rows_added_after_widening_are_empty_and_as_wide() -> None:
    table = SlotTable(16, ("newest", "times"))
    table.grow(2)
    take(table, [(1, key, float(key)) for key in range(1, 13)])
    table.grow(200)
    take(table, [(199, key, float(key)) for key in range(1, 13)])
    assert content(table)[199] == content(table)[1]
    table.truncate(2)
    table.grow(200)
    assert content(table)[199] == {}
