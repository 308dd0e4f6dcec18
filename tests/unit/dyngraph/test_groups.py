"""Occurrence numbers agree with counting by hand."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.groups import occurrences


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=60))
def test_occurrences_count_each_key_from_the_front_and_from_the_back(keys: list[int]) -> None:
    numbers = occurrences(torch.tensor(keys, dtype=torch.int64))
    assert numbers.from_front.tolist() == [keys[:place].count(key) for place, key in enumerate(keys)]
    assert numbers.from_back.tolist() == [keys[place + 1 :].count(key) for place, key in enumerate(keys)]
