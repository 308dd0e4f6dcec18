"""Filters before ranking: what may not be shown is no candidate, and what may be shown fills the list."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.batch import EventBatch
from dyngraph.events import EventType, Item
from dyngraph.filtering import AT_LEAST, Sieve
from dyngraph.graph import DynamicGraph
from dyngraph.lists import Filters
from dyngraph.met import MetItems

ANN, BOB, STRANGER = 1, 2, 0


def shop(items: int = 300) -> tuple[DynamicGraph, MetItems]:
    """Item n has n events, costs n, is in category tens > ones and of brand odd or even; item 5 is sold out, item 6
    withdrawn, the last one unknown to the catalogue.
    """
    graph = DynamicGraph(2, 2)
    graph.user_ids.add(["ann", "bob"])
    graph.item_ids.add([str(number) for number in range(1, items + 1)])
    graph.items.grow(items + 1)
    graph.items.events[:] = torch.arange(items + 1)
    graph.catalogue.put(
        Item(
            str(number),
            brand="odd" if number % 2 else "even",
            categories=(f"tens {number // 10} > ones {number % 10}",),
            price=float(number),
            available=number != 5,
            withdrawn=number == 6,
        )
        for number in range(1, items)
    )
    return graph, MetItems()


def meets(met: MetItems, user: int, items: Iterable[int], kind: EventType) -> None:
    rows = torch.tensor(list(items))
    whose = torch.full_like(rows, user)
    seq = torch.arange(len(rows))
    met.observe(DynamicGraph(2, 2), EventBatch(whose, rows, torch.full_like(rows, kind), seq.float(), seq, seq))


def passing(filters: Filters, graph: DynamicGraph, met: MetItems | None = None) -> list[int]:
    return Sieve(filters, graph, met or MetItems()).passes.nonzero().squeeze(1).tolist()


def listed(sieve: Sieve, user: int, items: Iterable[int], k: int) -> list[int]:
    rows = sieve.candidates(torch.tensor([user]), torch.tensor([list(items)]), k)[0]
    return rows[rows > 0].tolist()


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        (Filters(), [*range(1, 5), *range(7, 31)]),
        (Filters(available_only=False), [*range(1, 6), *range(7, 31)]),
        (Filters(exclude=["1", "never heard of"]), [*range(2, 5), *range(7, 31)]),
        (Filters(categories=["tens 1"]), list(range(10, 20))),
        (Filters(categories=["tens 1 > ones 3", "ones 4"]), [4, 13, 14, 24]),
        (Filters(categories=["tens 1"], without_categories=["ones 3"], brands=["odd"]), [11, 15, 17, 19]),
        (Filters(without_categories=["tens 0", "tens 1"]), list(range(20, 31))),
        (Filters(price_min=12, price_max=14), [12, 13, 14]),
        (Filters(price_min=28), [28, 29]),
        (Filters(brands=["no such brand"]), []),
    ],
)
def test_each_filter_lets_pass_what_it_says(filters: Filters, rows: list[int]) -> None:
    assert passing(filters, shop(30)[0]) == rows


def test_an_entry_that_comes_after_the_item_counts_from_then_on() -> None:
    graph, met = shop(30)
    assert 30 not in passing(Filters(categories=["tens 3"]), graph)
    graph.catalogue.put([Item("30", categories=("tens 3",)), Item("31", categories=("tens 3",))])
    assert passing(Filters(categories=["tens 3"]), graph) == [30]
    graph.item_ids.add(["31"])
    graph.items.grow(32)
    assert passing(Filters(categories=["tens 3"]), graph, met) == [30, 31]


def test_what_was_bought_is_hidden_and_what_was_viewed_is_not() -> None:
    graph, met = shop(30)
    meets(met, ANN, [1, 2, 3], EventType.VIEW)
    meets(met, ANN, [3, 4], EventType.PURCHASE)
    meets(met, ANN, [4, 7], EventType.REMOVE)
    items = [1, 2, 3, 4, 7, 8]
    sieve = Sieve(Filters(hide_after=[EventType.PURCHASE]), graph, met)
    assert listed(sieve, ANN, items, 1) == [1, 2, 7, 8]
    assert listed(sieve, BOB, items, 1) == items
    assert listed(sieve, STRANGER, items, 1) == items
    both = Sieve(Filters(hide_after=[EventType.PURCHASE, EventType.REMOVE]), graph, met)
    assert listed(both, ANN, items, 1) == [1, 2, 8]
    assert listed(Sieve(Filters(hide_seen=True), graph, met), ANN, items, 1) == [8]


def test_impressions_are_not_kept_so_they_hide_nothing_and_are_refused() -> None:
    with pytest.raises(ValueError, match="hide_after names impression"):
        Filters(hide_after=[EventType.IMPRESSION])


def test_without_filters_the_candidates_are_the_proposed_ones() -> None:
    graph, met = shop()
    assert listed(Sieve(Filters(), graph, met), ANN, range(20, 40), 10) == list(range(20, 40))


def test_a_narrow_filter_is_filled_up_with_the_passing_items_of_most_events() -> None:
    graph, met = shop()
    sieve = Sieve(Filters(brands=["even"]), graph, met)
    rows = listed(sieve, ANN, [7, 8, 9, 10], 10)
    assert rows[:2] == [8, 10], "what the sources proposed stays a candidate"
    assert set(rows[2:]) == set(range(298, 298 - 2 * AT_LEAST, -2))
    assert len(set(rows)) == len(rows)


@settings(deadline=None, max_examples=40)
@given(
    filters=st.builds(
        Filters,
        exclude=st.lists(st.integers(1, 300).map(str), max_size=5),
        hide_seen=st.booleans(),
        hide_after=st.sampled_from([(), (EventType.PURCHASE,), (EventType.VIEW, EventType.PURCHASE)]),
        categories=st.sampled_from([(), ("tens 12",), ("ones 3",), ("tens 1", "tens 2")]),
        without_categories=st.sampled_from([(), ("ones 3",)]),
        price_max=st.sampled_from([None, 3.0, 250.0]),
    ),
    bought=st.lists(st.integers(1, 300), min_size=1, max_size=250, unique=True),
    proposed=st.lists(st.integers(0, 300), min_size=1, max_size=30),
    k=st.integers(1, 60),
)
def test_a_filtered_list_is_as_long_as_it_can_be_and_holds_nothing_else(
    filters: Filters, bought: list[int], proposed: list[int], k: int
) -> None:
    graph, met = shop()
    meets(met, ANN, bought, EventType.PURCHASE)
    sieve = Sieve(filters, graph, met)
    hidden = set(bought) if filters.hide_seen or filters.hide_after else set()
    allowed = set(passing(filters, graph)) - hidden
    rows = sieve.candidates(torch.tensor([ANN, BOB]), torch.tensor([proposed, proposed]), k)
    for row, may in zip(rows.tolist(), (allowed, set(passing(filters, graph))), strict=True):
        there = {item for item in row if item}
        assert there <= may
        assert set(proposed) & may <= there
        assert len(there) >= min(k, len(may))


@settings(deadline=None, max_examples=30)
@given(
    bought=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 60)), min_size=1, max_size=80),
    proposed=st.lists(st.lists(st.integers(0, 60), min_size=6, max_size=6), min_size=3, max_size=3),
    narrow=st.booleans(),
)
def test_candidates_do_not_depend_on_who_asks_beside(
    bought: list[tuple[int, int]], proposed: list[list[int]], narrow: bool
) -> None:
    graph, met = shop(60)
    for user, item in bought:
        meets(met, user, [item], EventType.PURCHASE)
    filters = Filters(brands=["odd"] if narrow else (), hide_after=[EventType.PURCHASE])
    users = [STRANGER, ANN, BOB]
    together = Sieve(filters, graph, met).candidates(torch.tensor(users), torch.tensor(proposed), 8)
    restored = MetItems()
    restored.load_state(met.state())
    for user, items, row in zip(users, proposed, together.tolist(), strict=True):
        alone = listed(Sieve(filters, graph, restored), user, items, 8)
        assert sorted(item for item in row if item) == sorted(set(alone))
