"""Events of one basket may be ranked without each other's items among the candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unit.dyngraph.small_logs import SMALL, event, random_log

from dyngraph.engine import Engine
from dyngraph.ranking import rivals
from models.system import SystemConfig, build_engine

USER = "user-0"
BASKET = ("item-1", "item-4", "item-1", "item-7", "never seen before")


def learned(mask_seen: bool) -> Engine:
    engine = build_engine(SystemConfig(tgn=SMALL.tgn, mask_seen=mask_seen, candidates="all"))
    engine.kept = 4
    for number, one in random_log(60, users=5, items=12, seed=5):
        engine.step([(number, one)])
    return engine


@pytest.mark.parametrize("mask_seen", [False, True])
def test_a_true_item_is_ranked_without_the_others_of_its_basket(mask_seen: bool) -> None:
    engine = learned(mask_seen)
    at = engine.graph.horizon.next()
    (items,), (scores,) = engine.candidates([USER])
    listed = {
        engine.graph.item_ids[row]: score for row, score in zip(items.tolist(), scores.tolist(), strict=True) if row
    }
    basket = [event(at.seq + place, USER, item, ts=at.ts) for place, item in enumerate(BASKET)]
    result = engine.step(basket, apart=np.array([True, True, True, False, True]))
    for place, item in enumerate(BASKET):
        # Item 7 is in the basket, but no true item: others are ranked with it.
        others = {"item-1", "item-4", "never seen before"} - {item}
        left = {name: score for name, score in listed.items() if name not in others}
        rank = result.ranks["evergraph"][place]
        if item in left:
            above, equal = (sum(compare(score, left[item]) for score in left.values()) for compare in (_more, _same))
            assert rank == above + (1 + equal) / 2
        else:
            assert rank == np.inf
        best = sorted(left, key=lambda name: -left[name])[:4]
        assert [engine.graph.item_ids[row] for row in result.top[place] if row] == best


def _more(score: float, own: float) -> bool:
    return score > own


def _same(score: float, own: float) -> bool:
    return score == own


def test_a_rival_that_is_no_candidate_leaves_the_items_behind_all_candidates() -> None:
    query, items = torch.tensor([0, 0, 1, 0]), torch.tensor([3, 5, 3, 3])
    place, chosen = torch.tensor([1, -1, 0, 1]), torch.tensor([True, True, True, True])
    hidden, number = rivals(query, items, place, chosen, width=2)
    assert hidden.tolist() == [[False, False], [False, True], [False, False], [False, False]]
    assert number.tolist() == [1, 1, 0, 1]
