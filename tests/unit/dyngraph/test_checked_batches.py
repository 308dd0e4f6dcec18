"""Columns that no reader has looked at become a batch only if every event of it makes sense."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dyngraph.batch import MAX_SEQ, BadBatch, EventBatch
from dyngraph.events import MAX_TS_MS

GOOD: dict[str, list[Any]] = {
    "users": [1, 2, 1],
    "items": [3, 3, 4],
    "types": [1, 4, 9],
    "values": [0.0, -2.5, 4.0],
    "ts": [10, 10, 11],
    "seq": [5, 6, 1],
    "features": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
}


def columns(**changes: list[Any]) -> dict[str, Tensor]:
    """Good columns of three events, some exchanged for others."""
    return {
        name: torch.tensor(value, dtype=torch.float32 if name in ("values", "features") else torch.int64)
        for name, value in {**GOOD, **changes}.items()
    }


def changed(column: str, place: int, to: Any) -> dict[str, Tensor]:
    """Good columns but for one entry."""
    values = list(GOOD[column])
    values[place] = to
    return columns(**{column: values})


def test_good_columns_make_a_batch() -> None:
    batch = EventBatch.checked(**columns())
    assert len(batch) == 3
    assert batch.ts.tolist() == [10, 10, 11]


def test_no_events_are_a_batch_of_none() -> None:
    empty = {name: value[:0] for name, value in columns().items()}
    assert len(EventBatch.checked(**empty)) == 0


@pytest.mark.parametrize(
    ("column", "wrong", "said"),
    [
        ("users", 0, "row 0 is the null node"),
        ("items", 0, "row 0 is the null node"),
        ("users", -1, "row"),
        ("items", -(2**63), "row"),
        ("types", 0, "type"),
        ("types", 10, "type"),
        ("types", -1, "type"),
        ("values", float("nan"), "finite"),
        ("values", float("inf"), "finite"),
        ("ts", -1, "time"),
        ("ts", MAX_TS_MS, "time"),
        ("ts", 2**63 - 1, "time"),
        ("seq", -1, "seq"),
        ("seq", MAX_SEQ, "seq"),
        ("seq", 2**63 - 1, "seq"),
        ("features", [0.0, float("nan")], "finite"),
        ("features", [float("-inf"), 0.0], "finite"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_entry_that_makes_no_sense_is_refused_by_the_events_place_and_seq(
    column: str, wrong: Any, said: str, place: int
) -> None:
    seq = wrong if column == "seq" else GOOD["seq"][place]
    with pytest.raises(BadBatch, match=rf"(?s)event {place} .*seq {seq}\b.*{said}"):
        EventBatch.checked(**changed(column, place, wrong))


@pytest.mark.parametrize("column", GOOD)
def test_columns_of_unequal_length_are_refused(column: str) -> None:
    short = columns()
    short[column] = short[column][:2]
    with pytest.raises(BadBatch, match="entries"):
        EventBatch.checked(**short)


@pytest.mark.parametrize(
    ("ts", "seq"), [([10, 9, 11], [5, 6, 7]), ([10, 10, 11], [6, 5, 7]), ([10, 10, 11], [5, 5, 7])]
)
def test_a_moment_not_after_the_one_before_is_refused_by_the_events_place(ts: list[int], seq: list[int]) -> None:
    with pytest.raises(BadBatch, match=rf"event 1 .*seq {seq[1]}\b.*sort"):
        EventBatch.checked(**columns(ts=ts, seq=seq))


@given(st.lists(st.tuples(st.integers(0, MAX_TS_MS - 1), st.integers(0, MAX_SEQ - 1)), unique=True, max_size=20))
def test_every_order_by_time_and_place_is_taken(moments: list[tuple[int, int]]) -> None:
    ordered = sorted(moments)
    n = len(ordered)
    ts, seq = (torch.tensor([moment[part] for moment in ordered], dtype=torch.int64) for part in (0, 1))
    ones = torch.ones(n, dtype=torch.int64)
    batch = EventBatch.checked(ones, ones, ones, torch.zeros(n), ts, seq)
    assert (len(batch), batch.features) == (n, None)
