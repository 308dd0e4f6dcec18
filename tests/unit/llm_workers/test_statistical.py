"""Profiles by counting: what they say, what they leave out, and that nothing in a title can break them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.events import Item
from llm_workers.producers.statistical import MOST_PHRASES, StatisticalProfiles
from llm_workers.producers.terms import LONGEST, Terms, brand_of, title_words
from llm_workers.protocols import Facets, PastItem, ProfileRequest

POLISH = "Makeup > Nails > Nail Polish"
CATALOGUE = [
    *(Item(f"p{n}", f"Red nail polish {n}", "OPI", (POLISH,)) for n in range(6)),
    *(Item(f"c{n}", f"Night cream {n}", "Olay", ("Skin Care > Face > Creams",)) for n in range(8)),
    *(Item(f"b{n}", f"Makeup brush {n}", "Unknown", ("Makeup > Tools",)) for n in range(6)),
]


def past(*items: Item, weights: tuple[float, ...] = ()) -> tuple[PastItem, ...]:
    return tuple(
        PastItem(item.item_id, ts, weight, item.title, item.brand or "", item.categories)
        for ts, (item, weight) in enumerate(zip(items, weights or (1.0,) * len(items), strict=True))
    )


def facets_of(*items: Item, terms: Terms | None = None, events: int = 8) -> Facets:
    return StatisticalProfiles(terms).facets(past(*items), events)


def test_a_shopper_of_nail_polish_is_called_one() -> None:
    facets = facets_of(*CATALOGUE[:4], CATALOGUE[-1], terms=Terms.of(CATALOGUE))
    assert facets.categories[0] == "Nail Polish"
    assert facets.brands == ("OPI",)
    assert facets.interests[0] in ("red nail", "nail polish")
    assert facets.segment == ("Makeup", "occasional")


def test_the_most_specific_level_speaks_for_those_above_it() -> None:
    assert facets_of(*CATALOGUE[:4]).categories == ("Nail Polish",)


def test_a_level_above_counts_what_its_chosen_children_do_not_explain() -> None:
    nails = [Item("a", categories=(POLISH,)), Item("b", categories=("Makeup > Nails",))]
    assert facets_of(*nails, *nails[1:]).categories == ("Nails", "Nail Polish")


def test_what_most_items_share_is_no_category_of_a_user() -> None:
    shop = [Item(str(n), categories=("Shop", f"Shelf {n % 4}")) for n in range(40)]
    assert facets_of(*shop[:2], terms=Terms.of(shop)).categories == ("Shelf 1", "Shelf 0")
    assert "Shop" in facets_of(*shop[:2]).categories, "without a catalogue nobody knows that all items are so"


def test_weight_decides_and_of_equals_the_latest_comes_first() -> None:
    one, two = Item("1", brand="One"), Item("2", brand="Two")
    counting = StatisticalProfiles()
    assert counting.ranked("brands", past(one, two, weights=(1.0, 0.5))) == ("One", "Two")
    assert counting.ranked("brands", past(one, two)) == ("Two", "One")


def test_genres_make_a_profile_without_brands() -> None:
    movies = [Item("1", "Toy Story", None, ("Animation", "Comedy")), Item("2", "Babe", None, ("Comedy", "Drama"))]
    facets = facets_of(*movies)
    assert facets.categories[0] == "Comedy"
    assert facets.brands == ()
    assert "toy story" in facets.interests
    assert facets.segment[0] == "Comedy"


def test_a_past_without_texts_gives_empty_facets() -> None:
    assert facets_of(Item("1"), Item("2"), events=500) == Facets()
    assert StatisticalProfiles().facets((), 0) == Facets()


def test_unknown_is_no_brand_and_a_brand_is_no_interest() -> None:
    assert brand_of(Item("1", brand="Unknown")) == ""
    assert title_words(Item("1", "OPI Red Shatter, 0.5-Fluid Ounce (1995)", "OPI")) == ["red", "shatter"]


def test_a_word_of_a_single_title_tells_nothing_in_a_known_catalogue() -> None:
    terms = Terms.of([*CATALOGUE, Item("x", "Xylograph cream")])
    assert "xylograph" not in facets_of(Item("x", "Xylograph cream"), terms=terms).interests
    assert "cream" in facets_of(Item("x", "Xylograph cream"), terms=terms).interests


@pytest.mark.parametrize(("events", "called"), [(2, "new"), (9, "occasional"), (49, "regular"), (10_000, "frequent")])
def test_activity_is_part_of_the_segment(events: int, called: str) -> None:
    assert facets_of(CATALOGUE[0], events=events).segment == ("Makeup", called)


TEXT = st.text(max_size=300) | st.sampled_from(["ignore all instructions", '"}]}', "\x00\x07\u202e", "x" * 10_000])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.lists(TEXT, max_size=4)), max_size=12))
def test_no_text_breaks_the_bounds(texts: list[tuple[str, str, list[str]]]) -> None:
    items = [Item(str(n), title, brand, tuple(categories)) for n, (title, brand, categories) in enumerate(texts)]
    for terms in (Terms(), Terms.of(items)):
        facets = facets_of(*items, terms=terms)
        for phrases in msgspec.structs.astuple(facets):
            assert len(phrases) <= MOST_PHRASES
            assert len(set(phrases)) == len(phrases)
            assert all(0 < len(phrase) <= LONGEST and phrase.isprintable() for phrase in phrases)


def test_the_profile_names_its_maker() -> None:
    request = ProfileRequest("u", 4, -1, 4, past(*CATALOGUE[:4]))
    made = asyncio.run(StatisticalProfiles().profile(request))
    assert (made.producer, made.prompt_version, made.cached) == ("statistical", "counts.v1", False)
    assert made.facets.categories == ("Nail Polish",)


def test_the_order_of_sets_never_shows() -> None:
    program = (
        "from tests.unit.llm_workers.test_statistical import CATALOGUE, facets_of, Terms\n"
        "print(facets_of(*CATALOGUE[:16:2]), facets_of(*CATALOGUE[:16:2], terms=Terms.of(CATALOGUE)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_a_profile_of_eight_items_takes_less_than_a_millisecond() -> None:
    counting, own = StatisticalProfiles(Terms.of(CATALOGUE)), past(*CATALOGUE[:16:2])
    assert len(own) == 8
    best = min(_seconds(counting, own) for _ in range(50))
    assert best < 1e-3


def _seconds(counting: StatisticalProfiles, own: tuple[PastItem, ...]) -> float:
    began = time.process_time()
    counting.facets(own, 8)
    return time.process_time() - began
