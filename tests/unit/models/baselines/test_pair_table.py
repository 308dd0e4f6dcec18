"""A growing table of pairs equals a dictionary."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines.pairs import PairTable


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12)), max_size=40), max_size=20))
def test_counts_are_those_of_a_dictionary(batches: list[list[tuple[int, int]]]) -> None:
    table, expected = PairTable(), Counter[tuple[int, int]]()
    for batch in batches:
        pairs = np.array(batch, dtype=np.int64).reshape(-1, 2)
        table.count(pairs[:, 0], pairs[:, 1])
        expected.update(batch)
    for row in range(402):
        columns, values = table.row(row)
        assert list(zip(columns.tolist(), values.tolist(), strict=True)) == sorted(
            (column, count) for (one, column), count in expected.items() if one == row
        )


def test_a_row_moves_to_larger_blocks_and_keeps_its_values() -> None:
    table = PairTable(empty=-1.0)
    for column in np.random.default_rng(0).permutation(5_000):
        slot = table.slots(np.array([column % 3]), np.array([column]))
        assert table.values[slot] == -1.0
        table.values[slot] = column
    for row in range(3):
        columns, values = table.row(row)
        assert columns.tolist() == values.tolist() == list(range(row, 5_000, 3))


def test_a_row_beyond_all_is_empty() -> None:
    assert [len(part) for part in PairTable().row(10**6)] == [0, 0]
