"""The id table agrees with a dictionary."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.ids import IdTable

Names = st.lists(st.text(min_size=1, max_size=6), max_size=20)


def reloaded(table: IdTable) -> IdTable:
    again = IdTable()
    again.load_state(table.state())
    return again


@settings(deadline=None)
@given(st.lists(Names, max_size=6))
def test_rows_are_given_in_order_of_first_appearance_and_never_change(batches: list[list[str]]) -> None:
    table, known = IdTable(), dict[str, int]()
    for names in batches:
        for name in names:
            known.setdefault(name, len(known) + 1)
        assert table.add(names).tolist() == [known[name] for name in names]
        table = reloaded(table)
    assert table.find([*known, "\0never seen\0"]).tolist() == [*known.values(), 0]
    assert [table[row] for row in range(1, len(table))] == list(known)
    assert len(table) == len(known) + 1


@settings(deadline=None)
@given(Names, Names)
def test_truncating_forgets_exactly_what_was_added_since(first: list[str], second: list[str]) -> None:
    table = IdTable()
    table.add(first)
    size, before = len(table), table.state()
    table.add(second)
    table.truncate(size)
    assert all(value.equal(before[key]) for key, value in table.state().items())
    assert table.find([name for name in second if name not in first]).eq(0).all()


def test_a_forgotten_row_has_no_name_and_its_former_name_gets_a_new_row() -> None:
    table = IdTable()
    table.add(["ann", "bob"])
    table.forget(1)
    assert table.find(["ann", "", "bob"]).tolist() == [0, 0, 2]
    assert table.add(["ann"]).tolist() == [3]
    assert reloaded(table).find(["ann", "", "bob"]).tolist() == [3, 0, 2]
