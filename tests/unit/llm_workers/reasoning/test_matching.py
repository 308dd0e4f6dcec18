"""Imagined names and the items that they mean."""

from __future__ import annotations

import asyncio

from reasoning_requests import SHOP, WordCounts

from llm_workers.reasoning.matching import VectorMatcher


def test_of_equal_texts_a_name_means_the_same_item_in_whichever_order_they_came() -> None:
    found = set()
    for order in (("comb", "twin"), ("twin", "comb"), ("twin", "red", "comb", "twin")):
        matcher = VectorMatcher(WordCounts())
        for item_id in order:
            matcher.add([SHOP[item_id]])
        (match,) = asyncio.run(matcher.match(["Wooden comb"], frozenset()))
        assert match is not None
        found.add(match.item_id)
    assert found == {"comb"}
