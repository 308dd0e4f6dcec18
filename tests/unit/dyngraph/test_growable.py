"""A growable tensor behaves like a list of rows."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.growable import Growable

Steps = st.lists(st.tuples(st.sampled_from(("grow", "truncate", "write", "reload")), st.integers(0, 200)), max_size=25)


@settings(deadline=None)
@given(Steps)
def test_rows_survive_growth_and_come_back_empty_after_truncation(steps: list[tuple[str, int]]) -> None:
    table, rows = Growable((2,), torch.int64, fill=-1), list[list[int]]()
    for number, (step, size) in enumerate(steps):
        if step == "grow":
            table.grow(size)
            rows += [[-1, -1]] * (size - len(rows))
        elif step == "truncate":
            table.truncate(size)
            rows = rows[:size]
        elif step == "write" and rows:
            table.view[size % len(rows)] = number
            rows[size % len(rows)] = [number, number]
        elif step == "reload":
            content, table = table.view.clone(), Growable((2,), torch.int64, fill=-1)
            table.replace(content)
        assert len(table) == len(rows)
        assert table.view.tolist() == rows


def test_a_loaded_table_does_not_share_memory_with_what_it_was_loaded_from() -> None:
    source, table = torch.zeros(3, 2), Growable((2,), torch.float32)
    table.replace(source)
    table.view[1] = 7
    assert source.eq(0).all()


def test_widening_keeps_columns_and_fills_the_new_ones() -> None:
    table = Growable((2,), torch.int64, fill=9)
    table.grow(2)
    table.view.zero_()
    table.widen(3)
    assert table.view.tolist() == [[0, 0, 9], [0, 0, 9]]
    table.grow(200)
    assert table.view[199].tolist() == [9, 9, 9]
