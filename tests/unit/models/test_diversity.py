"""Maximal marginal relevance places what a plain reading of its formula places, and nothing is lost or doubled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from models.diversity import MaximalMarginalRelevance

NONE = -math.inf


def shop(labels: list[set[str]]) -> DynamicGraph:
    """Item row n has the categories ``labels[n - 1]``."""
    graph = DynamicGraph(2, 2)
    names = [str(row) for row in range(1, len(labels) + 1)]
    graph.item_ids.add(names)
    graph.catalogue.put(Item(name, categories=tuple(sorted(own))) for name, own in zip(names, labels, strict=True))
    return graph


def plain(
    labels: list[set[str]], vectors: list[list[float]] | None, items: list[int], scores: list[float], s: float, k: int
) -> list[int]:
    """The formula, one list, in plain Python."""
    real = [score for item, score in zip(items, scores, strict=True) if item]
    low, span = min(real), max(real) - min(real) or 1.0

    def alike(one: int, other: int) -> float:
        ours, theirs = labels[one - 1], labels[other - 1]
        cosine = 0.0
        if vectors is not None:
            a, b = vectors[one], vectors[other]
            lengths = math.hypot(*a) * math.hypot(*b)
            cosine = max(sum(x * y for x, y in zip(a, b, strict=True)) / lengths, 0.0) if lengths else 0.0
        if not ours or not theirs:
            return cosine
        shared = len(ours & theirs) / len(ours | theirs)
        return shared if vectors is None else (shared + cosine) / 2

    placed: list[int] = []
    left = [place for place, item in enumerate(items) if item]
    while left and len(placed) < k:
        worth = {
            place: (1 - s) * (scores[place] - low) / span
            - s * max((alike(items[place], items[other]) for other in placed), default=0.0)
            for place in left
        }
        # Within rounding of the best, the better score wins.
        best = next(place for place in left if worth[place] >= max(worth.values()) - 1e-12)
        placed.append(best)
        left.remove(best)
    return placed


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_places_are_those_of_the_formula(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    labels = data.draw(st.lists(st.sets(st.sampled_from("abcde"), max_size=3), min_size=n, max_size=n))
    numbers = st.integers(-3, 3).map(float)
    vectors = data.draw(st.none() | st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=n + 1, max_size=n + 1))
    items = data.draw(st.permutations(range(1, n + 1)))
    scores = sorted(data.draw(st.lists(st.integers(-9, 9).map(float), min_size=n, max_size=n)), reverse=True)
    strength = data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
    k = data.draw(st.integers(1, n + 2))
    mmr = MaximalMarginalRelevance(strength, None if vectors is None else lambda: torch.tensor(vectors))
    padded = torch.tensor([[*items, 0, 0]])
    order = mmr.order(shop(labels), padded, torch.tensor([[*scores, NONE, NONE]]), k)[0].tolist()
    assert len(order) == k
    assert len(set(order)) == len(order)
    chosen = [column for column in order if column < n]
    assert chosen == order[: len(chosen)], "padding stands last"
    assert chosen == plain(labels, vectors, items, scores, strength, k)


def test_one_of_many_alike_items_stays_and_the_others_make_room() -> None:
    graph = shop([{"shoes"}, {"shoes"}, {"shoes"}, {"hats"}, {"books"}])
    items, scores = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[1.0, 0.95, 0.9, 0.7, 0.6]])
    assert MaximalMarginalRelevance(0.0).order(graph, items, scores, 3).tolist() == [[0, 1, 2]]
    assert MaximalMarginalRelevance(0.5).order(graph, items, scores, 3).tolist() == [[0, 3, 4]]


def test_more_strength_means_fewer_pairs_that_are_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(6, (200,), generator=generator).tolist()
    graph = shop([{f"kind-{kind}"} for kind in kinds])
    items = torch.stack([torch.randperm(200, generator=generator)[:40] + 1 for _ in range(20)])
    scores = torch.rand(20, 40, generator=generator).sort(dim=1, descending=True).values

    def alike(strength: float) -> int:
        order = MaximalMarginalRelevance(strength).order(graph, items, scores, 6)
        lists = [[kinds[row - 1] for row in rows] for rows in items.gather(1, order).tolist()]
        return sum(len(own) - len(set(own)) for own in lists)

    counts = [alike(strength) for strength in (0.0, 0.2, 0.5, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 20
    assert counts[-1] == 0


def test_lists_do_not_depend_on_each_other() -> None:
    graph = shop([{"a"}, {"a"}, {"b"}, {"b"}])
    items = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0], [9.0, 8.9, 0.0, 0.0]])
    mmr = MaximalMarginalRelevance(0.4)
    together = mmr.order(graph, items, scores, 4)
    for place in range(2):
        assert mmr.order(graph, items[[place]], scores[[place]], 4).tolist() == [together[place].tolist()]


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_bounds_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="is out of bounds; use 0"):
        MaximalMarginalRelevance(strength)
