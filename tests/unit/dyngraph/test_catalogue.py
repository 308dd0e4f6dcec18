"""The catalogue by rows agrees with its entries, whichever of row and entry came first."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dyngraph.catalogue import Catalogue
from dyngraph.events import Item
from dyngraph.ids import IdTable
from dyngraph.labels import MASKS_KEPT, LabelTable

NAMES = st.sampled_from([f"item-{number}" for number in range(8)])
PATHS = ["Beauty", "Beauty > Nails", "Beauty > Nails > Polish", "Tools", "Tools > Nails", "Fizz"]
BRANDS = ["Fizz", "OPI"]
ENTRIES = st.builds(
    Item,
    NAMES,
    brand=st.sampled_from([None, "", *BRANDS]),
    categories=st.lists(st.sampled_from(PATHS), max_size=3).map(tuple),
    price=st.sampled_from([None, 0.0, 2.5, 10.0]),
    available=st.booleans(),
    withdrawn=st.booleans(),
)


class CatalogueAndRows(RuleBasedStateMachine):
    """Rows come, are taken back and loaded; entries are put, replaced and removed; in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = IdTable()
        self.catalogue = Catalogue(self.ids)
        self.entries: dict[str, Item] = {}

    @rule(entries=st.lists(ENTRIES, max_size=4))
    def put(self, entries: list[Item]) -> None:
        before = self.catalogue.version
        self.catalogue.put(entries)
        self.entries |= {entry.item_id: entry for entry in entries}
        assert (self.catalogue.version > before) == bool(entries)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.catalogue.remove(name)
        self.entries.pop(name, None)

    @rule(names=st.lists(NAMES, max_size=3))
    def rows_come(self, names: list[str]) -> None:
        self.ids.add(names)

    @rule(names=st.lists(NAMES, max_size=3), seen=st.booleans())
    def rows_come_and_are_taken_back(self, names: list[str], seen: bool) -> None:
        size = len(self.ids)
        self.ids.add(names)
        if seen:
            self.catalogue.available()
        self.ids.truncate(size)

    @rule(names=st.lists(NAMES, unique=True))
    def other_rows_are_loaded(self, names: list[str]) -> None:
        other = IdTable()
        other.add(names)
        self.ids.load_state(other.state())

    def expected(self, fits: object) -> list[bool]:
        assert callable(fits)
        return [bool(fits(self.entries.get(self.ids[row], Item("")))) for row in range(1, len(self.ids))]

    @invariant()
    def every_column_says_what_the_entries_say(self) -> None:
        catalogue = self.catalogue
        assert catalogue.available()[1:].tolist() == self.expected(lambda item: item.available and not item.withdrawn)
        assert catalogue.listed()[1:].tolist() == self.expected(lambda item: not item.withdrawn)
        assert catalogue.priced(1.0, 10.0)[1:].tolist() == self.expected(
            lambda item: item.price is not None and 1 <= item.price <= 10
        )
        assert catalogue.priced(None, 2.5)[1:].tolist() == self.expected(
            lambda item: item.price is not None and item.price <= 2.5
        )
        for brand in (*BRANDS, "unheard of"):
            assert catalogue.of_brands([brand])[1:].tolist() == self.expected(lambda item, b=brand: item.brand == b)
        for asked in (["Beauty"], ["Nails"], ["Beauty > Nails"], ["Fizz", "Tools"], ["Polish", "unheard of"]):
            assert catalogue.in_categories(asked)[1:].tolist() == self.expected(
                lambda item, asked=asked: any(named(path, name) for path in item.categories for name in asked)
            )
        assert not catalogue.in_categories(PATHS)[0]


def named(path: str, name: str) -> bool:
    """Whether a category path is called ``name``: as a whole, by a beginning, or by one of its levels."""
    return path == name or path.startswith(f"{name} > ") or name in path.split(" > ")


TestCatalogueAndRows = CatalogueAndRows.TestCase
TestCatalogueAndRows.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


def test_a_label_that_was_long_not_asked_for_is_answered_as_well_as_any_other() -> None:
    table = LabelTable()
    labels = [f"label-{number}" for number in range(MASKS_KEPT + 5)]
    table.grow(len(labels) + 1)
    table.put({row: [label] for row, label in enumerate(labels, start=1)})
    for row, label in enumerate([*labels, *labels], start=0):
        assert table.bearers([label]).nonzero()[0].tolist() == [row % len(labels) + 1]
    table.put({1: [labels[1], labels[2]], 2: []})
    assert table.bearers(labels[:3]).nonzero()[0].tolist() == [1, 3]
    assert table.bearers(labels[1:2]).nonzero()[0].tolist() == [1]


def test_a_hundred_thousand_items_are_filtered_again_in_about_a_millisecond() -> None:
    ids = IdTable()
    catalogue = Catalogue(ids)
    rng = np.random.default_rng(0)
    names = [f"item-{number}" for number in range(100_000)]
    ids.add(names)
    numbers = zip(names, rng.integers(300, size=len(names)).tolist(), strict=True)
    catalogue.put(Item(name, categories=(f"c{number % 10} > d{number}",), price=number / 3) for name, number in numbers)

    def filtered() -> int:
        return int((catalogue.available() & catalogue.in_categories(["c3", "d7"]) & catalogue.priced(1, 80)).sum())

    assert filtered() > 5_000
    seconds = []
    for number in range(20):
        # New rows and entries in between cost what is new, not what is there.
        ids.add([f"new-{number}"])
        catalogue.put([Item(f"new-{number}", categories=("c3",), price=5.0)])
        begun = time.perf_counter()
        filtered()
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.004  # 0.4 ms on an idle core
