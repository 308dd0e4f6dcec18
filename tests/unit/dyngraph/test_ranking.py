"""Candidate union and ranks agree with sorting by hand."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.protocols import Sets
from dyngraph.ranking import candidate_ranks, contains, full_ranks, locate, unite, without


def matrix(rows: int, largest: int) -> st.SearchStrategy[list[list[int]]]:
    return st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, largest), min_size=width, max_size=width), min_size=rows, max_size=rows
        )
    )


@settings(deadline=None)
@given(matrix(3, 9), matrix(3, 9))
def test_united_candidates_are_the_distinct_ones_of_all_proposals(
    left: list[list[int]], right: list[list[int]]
) -> None:
    united = unite([torch.tensor(left), torch.tensor(right)], 10)
    for row, one, other in zip(united.tolist(), left, right, strict=True):
        wanted = set(one) | set(other)
        assert sorted(item for item in row if item) == sorted(wanted - {0})
    assert united.shape[1] == max(1, *((row > 0).sum() for row in united))


def as_sets(rows: list[list[int]]) -> Sets:
    distinct = [list(dict.fromkeys(item for item in row if item)) for row in rows]
    start = np.cumsum([0, *map(len, distinct)])
    return Sets(start, np.array([item for row in distinct for item in row], dtype=np.int64))


@settings(deadline=None)
@given(matrix(2, 6), matrix(2, 6))
def test_what_stands_in_its_own_set_is_found_and_taken_out(items: list[list[int]], sets: list[list[int]]) -> None:
    left = without(as_sets(sets), torch.tensor(items)).tolist()
    assert left == [[0 if item in known else item for item in row] for row, known in zip(items, sets, strict=True)]
    query = torch.tensor([0, 1])
    found = contains(as_sets(sets), query, torch.tensor([row[0] for row in items])).tolist()
    assert found == [row[0] in {*known} - {0} for row, known in zip(items, sets, strict=True)]


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[int]]:
    width = draw(st.integers(1, 6))
    rows = [
        draw(st.lists(st.integers(1, 8), unique=True, min_size=1, max_size=width))
        for _ in range(draw(st.integers(1, 3)))
    ]
    padded = [row + [0] * (width - len(row)) for row in rows]
    events = draw(st.lists(st.tuples(st.integers(0, len(rows) - 1), st.integers(0, 8)), min_size=1, max_size=6))
    return padded, [query for query, _ in events], [target for _, target in events]


@settings(deadline=None)
@given(questions(), st.data())
def test_a_candidates_rank_is_its_middle_place_and_others_tie_behind(
    question: tuple[list[list[int]], list[int], list[int]], data: st.DataObject
) -> None:
    items, query, targets = question
    few = st.integers(-2, 2).map(float)
    scores = [[data.draw(few) if item else -math.inf for item in row] for row in items]
    rankable = [data.draw(st.integers(sum(item > 0 for item in items[q]), 12)) for q in query]
    place = locate(torch.tensor(items), torch.tensor(query), torch.tensor(targets))
    ranks = candidate_ranks(torch.tensor(scores)[torch.tensor(query)], place, torch.tensor(rankable)).tolist()
    for rank, q, target, possible in zip(ranks, query, targets, rankable, strict=True):
        listed = {item: score for item, score in zip(items[q], scores[q], strict=True) if item}
        if target in listed:
            own = listed[target]
            above = sum(score > own for score in listed.values())
            equal = sum(score == own for score in listed.values())
            assert rank == above + (1 + equal) / 2
        else:
            left = max(possible - len(listed), 1)
            assert rank == len(listed) + (1 + left) / 2


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.data())
def test_a_full_rank_counts_all_items_but_the_masked_ones(counts: list[int], data: st.DataObject) -> None:
    items = list(range(1, len(counts) + 1))
    targets = data.draw(st.lists(st.sampled_from(items), min_size=1, max_size=5))
    masked: list[list[int]] = [
        data.draw(st.lists(st.sampled_from([i for i in items if i != target] or [0]), unique=True))
        for target in targets
    ]
    scores = torch.tensor([99.0, *map(float, counts)], dtype=torch.float64)
    ranks = full_ranks(scores, torch.tensor(targets), as_sets(masked), torch.arange(len(targets))).tolist()
    for rank, target, out in zip(ranks, targets, masked, strict=True):
        others = [counts[item - 1] for item in items if item != target and item not in out]
        own = counts[target - 1]
        assert rank == 1 + sum(count > own for count in others) + sum(count == own for count in others) / 2
