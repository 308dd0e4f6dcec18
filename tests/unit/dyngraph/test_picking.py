"""From scores to places: the best first, anew where a reranker says so, and one place given away."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dyngraph.graph import DynamicGraph
from dyngraph.order import Moment
from dyngraph.reranking import Choice, Picked, pick

GRAPH, AT = DynamicGraph(2, 2), Moment(1, 1)
ITEMS = torch.tensor([[11, 12, 13, 14, 15, 0], [21, 22, 0, 0, 0, 0]])
SCORES = torch.tensor([[1.0, 5.0, 2.0, 4.0, 3.0, -math.inf], [1.0, 2.0, *[-math.inf] * 4]])
USERS = torch.tensor([1, 2])


class Backwards:
    """Turns the best 2k around."""

    def pool(self, k: int) -> int:
        return 2 * k

    def order(self, graph: DynamicGraph, items: Tensor, scores: Tensor, k: int) -> Tensor:
        there = (items > 0).sum(1)
        return torch.stack([torch.cat((torch.arange(n).flip(0), torch.arange(n, items.shape[1])))[:k] for n in there])


class Always:
    """Shows the last candidate, with chance one in four."""

    def __init__(self, place: int = 0) -> None:
        self.place = place
        self.asked: list[tuple[int, list[int], list[int]]] = []

    def choose(self, graph: DynamicGraph, user: int, at: Moment, shown: Tensor, candidates: Tensor) -> Choice | None:
        self.asked.append((user, shown.tolist(), candidates.tolist()))
        return Choice(int(candidates[-1]), 0.25) if len(candidates) else None


def picked(k: int, **parts: Any) -> tuple[list[list[int]], Picked]:
    made = pick(GRAPH, USERS, AT, ITEMS, SCORES, k, **parts)
    return ITEMS.gather(1, made.columns).tolist(), made


def test_without_anything_the_best_come_first() -> None:
    rows, made = picked(3)
    assert rows == [[12, 14, 15], [22, 21, 0]]
    assert made.probability.isnan().all()


def test_a_reranker_orders_its_pool() -> None:
    assert picked(2, rerank=Backwards())[0] == [[13, 15], [21, 22]]


@pytest.mark.parametrize(
    ("place", "expected"),
    [(0, [12, 14, 13]), (1, [13, 12, 14]), (2, [12, 13, 14]), (3, [12, 14, 13]), (9, [12, 14, 13])],
)
def test_an_explored_item_takes_its_place_and_the_last_one_falls_out(place: int, expected: list[int]) -> None:
    explorer = Always(place)
    rows, made = picked(3, explorer=explorer)
    # Candidates 11 and 13 are left beside the list; the columns are in the order of the items.
    assert explorer.asked == [(1, [12, 14, 15], [11, 13])]
    assert rows[0] == expected
    assert made.probability[0].isnan().sum() == 2
    assert made.probability[0, expected.index(13)] == 0.25


def test_a_list_that_is_not_full_or_has_one_place_is_left_alone() -> None:
    explorer = Always()
    rows, made = picked(1, explorer=explorer)
    assert rows == [[12], [22]]
    rows, made = picked(2, explorer=explorer)
    assert rows[1] == [22, 21]
    rows, made = picked(3, explorer=explorer)
    assert rows[1] == [22, 21, 0]
    assert made.probability[1].isnan().all()
    rows, made = picked(10, explorer=explorer)
    assert sorted(rows[0]) == [0, 11, 12, 13, 14, 15]
    assert made.probability.isnan().all()


def test_rerank_and_explorer_work_together() -> None:
    rows, _ = picked(2, rerank=Backwards(), explorer=Always(place=1))
    assert rows[0] == [14, 13]
