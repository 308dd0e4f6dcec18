"""Who met what, and how, agrees with a dictionary of sets, however the pairs are cut into batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.batch import EventBatch
from dyngraph.earlier import Earlier
from dyngraph.events import EventType
from dyngraph.graph import DynamicGraph
from dyngraph.met import MetItems, kinds_of
from dyngraph.state import digest

Event = tuple[int, int, EventType]
KINDS = [kind for kind in EventType if kind is not EventType.IMPRESSION]
EVENTS = st.tuples(st.integers(1, 5), st.integers(1, 6), st.sampled_from(KINDS))
GRAPH = DynamicGraph(2, 2)


def batch(events: list[Event], first: int = 0) -> EventBatch:
    users, items, types = (torch.tensor(column) for column in zip(*events, strict=True))
    seq = torch.arange(first, first + len(events))
    return EventBatch(users, items, types, torch.zeros(len(events)), seq, seq)


def told(batches: list[list[Event]]) -> MetItems:
    met, first = MetItems(), 0
    for events in batches:
        met.observe(GRAPH, batch(events, first))
        first += len(events)
    return met


def earlier_of(events: list[Event], users: torch.Tensor) -> Earlier:
    """All of ``events`` as what came earlier in the batch, an item without a row among them."""
    people, items, _ = (np.array(column) for column in zip(*events, (99, 0, 0), strict=True))
    order = np.argsort(people, kind="stable")
    people, items = people[order], items[order]
    low, high = (np.searchsorted(people, users.numpy(), side) for side in ("left", "right"))
    nothing = np.zeros(len(items), np.int64)
    return Earlier(low, high, items, nothing, nothing, nothing.astype(np.int8))


def everything(met: MetItems) -> dict[tuple[int, int], int]:
    users, items = torch.arange(0, 7), torch.arange(0, 8).repeat(7, 1)
    kinds = met.kinds(users, items)
    return {(user, item): int(kinds[user, item]) for user in range(7) for item in range(8) if kinds[user, item]}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(EVENTS, min_size=1, max_size=6), max_size=8), st.integers(1, 5))
def test_every_pair_knows_all_its_kinds_and_the_cut_into_batches_is_not_in_the_state(
    batches: list[list[Event]], gone: int
) -> None:
    expected: dict[tuple[int, int], int] = {}
    for user, item, kind in (event for events in batches for event in events):
        expected[user, item] = expected.get((user, item), 0) | kinds_of([kind])
    met = told(batches)
    assert everything(met) == expected
    per_user = [sum(1 for user, _ in expected if user == one) for one in range(7)]
    assert max(per_user) <= met.most(torch.arange(7)) <= max(per_user) + sum(map(len, batches))
    assert met.most(torch.zeros(0, dtype=torch.int64)) == 0
    again = MetItems()
    again.load_state(met.state())
    one_by_one = told([[event] for events in batches for event in events])
    assert digest(again.state()) == digest(met.state()) == digest(one_by_one.state())
    assert met.most(torch.arange(7)) == max(per_user)
    again.load_state(told(batches[:-1]).state())
    last = batches[-1] if batches else []
    for now in (met, again):
        # What the last batch holds is either taken in already, or told as what came earlier in the same batch.
        users = torch.arange(7)
        start, items = now.seen(users, None if now is met else earlier_of(last, users))
        assert [sorted(items[low:high].tolist()) for low, high in pairwise(start.tolist())] == [
            sorted(item for user, item in expected if user == one) for one in range(7)
        ]
    met.forget_user(gone)
    assert everything(met) == {pair: kinds for pair, kinds in expected.items() if pair[0] != gone}


def test_many_small_batches_stay_few_runs() -> None:
    met = told([[(1 + number % 97, 1 + number % 89, EventType.VIEW)] for number in range(3_000)])
    assert len(met._runs) <= 13
    assert met.most(torch.tensor([1])) >= 30
