"""Likeness by brand and category agrees with the formula in plain Python, before and after a restore."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import cut, event, random_log
from unit.models.source_rig import SourceRig

from dyngraph.events import Item
from models.sources.attributes import PLACE_DECAY, AttributeSource, labels
from models.sources.history import HistorySource

PATHS = ("Food > Drinks > Tea", "Food > Drinks > Rum", "Food", "Gifts")
ITEMS = 40


def catalogue(seed: int) -> list[Item]:
    draw = random.Random(seed)
    return [
        Item(
            f"item-{number}",
            title=f"Item {number}",
            brand=draw.choice([None, "Assam", "Earl", "Cuba"]),
            categories=tuple(draw.sample(PATHS, draw.randrange(3))),
        )
        for number in range(0, ITEMS, 1 + seed % 2)
    ]


def rig(items: list[Item], window: int = 10) -> SourceRig:
    history = HistorySource()
    taken = SourceRig(AttributeSource(history, window=window), after=[history])
    taken.graph.catalogue.put(items)
    return taken


def affinities(known: list[str], recent: list[str], items: list[Item]) -> dict[str, float]:
    """``Σ_p .85^p Σ_{a in i_p and j} 1 / m_a`` for every known item j."""
    own = {item.item_id: labels(item) for item in items}
    bearers = Counter(label for item in known for label in own.get(item, []))
    return {
        item: sum(
            PLACE_DECAY**place / bearers[label]
            for place, other in enumerate(recent)
            for label in set(own.get(other, [])) & set(own.get(item, []))
        )
        for item in known
    }


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((1, 7)))
def test_affinities_are_those_of_plain_python(seed: int, size: int) -> None:
    items = catalogue(seed)
    taken, log = rig(items), random_log(60, users=4, items=ITEMS, seed=seed)
    for step in cut(log, size):
        taken.step(step)
    recent = list(dict.fromkeys(one.item_id for _, one in reversed(log) if one.user_id == "user-0"))[:10]
    found = taken.features("user-0")
    expected = affinities(list(found), recent, items)
    top = max(expected.values()) or 1.0
    for item, features in found.items():
        share = expected[item] / top
        assert features["alike"] == pytest.approx(share, abs=1e-5)
        logarithm = min(max(1 + math.log(0.01 + share) / 4.605, 0), 1) if share else 0
        assert features["alike_log"] == pytest.approx(logarithm, abs=1e-4)
    assert taken.proposed("user-0") <= {item for item, value in expected.items() if value}


@pytest.mark.parametrize("items", [30, 260])
def test_a_restored_source_answers_as_the_one_that_went_along(items: int) -> None:
    shelf = [
        Item(f"item-{number}", brand=f"brand {number % 7}", categories=(PATHS[number % 4],)) for number in range(items)
    ]
    history = HistorySource()
    along = SourceRig(AttributeSource(history), after=[history])
    along.graph.catalogue.put(shelf)
    for number in range(items):
        along.step([(number, event(number, f"user-{number % 3}", f"item-{number}")[1])])
        restored = AttributeSource(history)
        restored.load_state(along.source.state())
        queries = along.queries("user-0")
        rows = along.source.propose(along.graph, queries)
        assert rows.equal(restored.propose(along.graph, along.queries("user-0")))
        assert along.source.describe(along.graph, queries, rows).equal(restored.describe(along.graph, queries, rows))


def test_a_reason_names_the_label_and_the_item_it_is_shared_with() -> None:
    taken = rig([Item("tea", title="Tea", brand="Assam"), Item("pot", title="Pot", brand="Assam"), Item("rum")])
    taken.step([event(0, "ann", "tea"), event(1, "bob", "pot"), event(2, "bob", "rum")])
    taken.step([event(3, "bob", "rum")])
    assert taken.explain("ann", "pot", "alike") == "Assam, like Tea"
    assert taken.explain("ann", "rum", "alike") == ""
