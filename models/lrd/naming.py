"""Names of latent relations without a language model: what a relation's strongest pairs have in common.

A pair says things of itself: same brand, and which; same category, and which; which category with which other; a word
of the title that both have. The name is what a relation's pairs say more often than other pairs do. Where they say
nothing together, it is what the items on either side are about more often than the catalogue is.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import msgspec

from dyngraph.catalogue import LEVELS
from dyngraph.events import Item
from dyngraph.relations import Pair, RelationTable

LEAST_SHARE = 0.25
"""Of a relation's pairs must say what names it."""
LEAST_OF_A_SIDE = 0.15
"""Of the items on one side of a relation's pairs must bear the term that stands for that side."""
LEAST_PAIRS = 2
LEAST_LIFT = 1.5
"""Times as often as other pairs."""
SHIFTS = (1, 7, 31)
"""Items of the catalogue this far apart are pairs too, of no relation."""
_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON = "and count for from inch inches new ounce ounces pack set size the with you your"
_TELLS_NOTHING = frozenset(_COMMON.split())
_ANYTHING = ""
"""The saying of every pair that says anything."""


def named(table: RelationTable, items: Mapping[str, Item]) -> RelationTable:
    """The table with a name for each slot that has something to say, no name twice, by counting.

    A name is a few words such as ``both OPI``, ``same shelf: Nail Polish`` or ``Shampoos with Conditioners``, or else
    the terms of either side: ``frame, then candle``. The pairs' scores weigh what they say; items that the catalogue
    does not know, or without any text, say nothing.

    Each relation is set against the pairs of the others and against items of the catalogue put together at random. The
    most used relations choose first. Within a step, so whatever is said is read and counted once. The same input gives
    the same names.
    """
    reader, ids = _Reader(items), sorted(items)
    by_chance = [(ids[at], ids[at - shift]) for shift in SHIFTS if shift < len(ids) for at in range(len(ids))]
    chance = reader.counted(by_chance)
    said = [reader.said(slot.pairs) for slot in table.slots]
    together = sum((one.often for one in said), Counter[str]())
    pairs = sum(len(slot.pairs) for slot in table.slots)
    names: dict[int, str] = {}
    for number in sorted(range(len(table.slots)), key=lambda number: (-table.slots[number].usage, number)):
        own = said[number]
        # The other relations' pairs count as much as all the random ones.
        times = max(1, len(by_chance) // max(1, pairs - len(table.slots[number].pairs)))

        def usual(saying: str, own: _Said = own, times: int = times) -> int:
            return chance[saying] + times * (together[saying] - own.often[saying])

        taken = set(names.values())
        names[number] = _telling(own, usual, taken) or reader.sides(table.slots[number].pairs, taken)
    slots = tuple(msgspec.structs.replace(slot, name=names[number]) for number, slot in enumerate(table.slots))
    return msgspec.structs.replace(table, slots=slots, producer="statistical")


class _Said(NamedTuple):
    """What some pairs say."""

    weight: defaultdict[str, float]
    """Sum of the scores of the pairs that say it."""
    often: Counter[str]
    """Number of the pairs that say it."""


def _telling(said: _Said, usual: Callable[[str], int], taken: set[str]) -> str:
    """The saying that tells most of its pairs; ``usual`` gives the number of other pairs that say something."""
    best, most = "", 0.0
    others, whole = usual(_ANYTHING), said.weight[_ANYTHING]
    for saying in sorted(said.often.keys() - taken - {_ANYTHING}):
        share = said.weight[saying] / whole if whole else 0.0
        expected = (usual(saying) + 0.5) / (others + 1) if others else 0.0
        lift = share / expected if expected else math.inf
        if share < LEAST_SHARE or said.often[saying] < LEAST_PAIRS or lift < LEAST_LIFT:
            continue
        # How much the relation tells of the saying: its part of the Kullback-Leibler divergence.
        worth = share * math.log(min(lift, 1e6))
        if worth > most + 1e-12:
            best, most = saying, worth
    return best


class _Words(NamedTuple):
    """An item, read."""

    title: str
    brand: str
    shelves: frozenset[str]
    """The narrowest level of each category."""
    words: frozenset[str]
    """Telling words of the title, the brand's own left out."""

    @property
    def terms(self) -> frozenset[str]:
        """What an item is about by itself."""
        return self.shelves | self.words | ({self.brand} if self.brand else set())


class _Reader:
    """Reads what pairs of items say of themselves, each item once."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        self._items = items
        self._read: dict[str, _Words | None] = {}

    def said(self, pairs: Iterable[Pair]) -> _Said:
        """Everything that the pairs say."""
        found = _Said(defaultdict(float), Counter())
        for pair in pairs:
            for saying in self._sayings(pair.past, pair.candidate):
                found.weight[saying] += pair.score
                found.often[saying] += 1
        return found

    def counted(self, pairs: Iterable[tuple[str, str]]) -> Counter[str]:
        """How many of the pairs say each thing."""
        return Counter(chain.from_iterable(self._sayings(past, candidate) for past, candidate in pairs))

    def _sayings(self, past: str, candidate: str) -> set[str]:
        """What a pair says of itself; nothing where an end has no text at all."""
        one, other = self._words(past), self._words(candidate)
        if one is None or other is None:
            return set()
        sayings = {_ANYTHING}
        if one.title and one.title == other.title:
            sayings.add("the same by another number")
        if one.brand and one.brand == other.brand:
            sayings |= {"same brand", f"both {one.brand}"}
        elif one.brand and other.brand:
            sayings |= {f"{one.brand} with {other.brand}", "another brand"}
        if one.shelves and other.shelves:
            shared = one.shelves & other.shelves
            sayings.add("same shelf" if shared else "another shelf")
            sayings.update([f"same shelf: {shelf}" for shelf in shared])
            sayings.update([f"{a} with {b}" for a in one.shelves - shared for b in other.shelves - shared])
        if not one.words.isdisjoint(other.words):
            sayings.update(f"both say “{word}”" for word in one.words & other.words)
        return sayings

    def sides(self, pairs: Sequence[Pair], taken: set[str]) -> str:
        """The most telling term of what the pairs lead from, then of what they lead to; empty where there is none."""
        past = self._typical(dict.fromkeys(pair.past for pair in pairs))
        then = self._typical(dict.fromkeys(pair.candidate for pair in pairs))
        name = f"{past}, then {then}" if past and then else f"after {past}" if past else f"then {then}" if then else ""
        return "" if name in taken else name

    def _typical(self, item_ids: Iterable[str]) -> str:
        """The term that tells these items from the catalogue, each item counted once."""
        read = [words for item_id in item_ids if (words := self._words(item_id)) is not None]
        often = Counter(term for words in read for term in words.terms)
        best, most = "", 0.0
        for term in sorted(often):
            share, usual = often[term] / len(read), (self._bearers[term] + 0.5) / (len(self._items) + 1)
            if share < LEAST_OF_A_SIDE or often[term] < LEAST_PAIRS or share / usual < LEAST_LIFT:
                continue
            worth = share * math.log(share / usual)
            if worth > most + 1e-12:
                best, most = term, worth
        return best

    @cached_property
    def _bearers(self) -> Counter[str]:
        """How many items of the catalogue bear each term."""
        return Counter(term for item_id in self._items if (words := self._words(item_id)) for term in words.terms)

    def _words(self, item_id: str) -> _Words | None:
        """None for an item that is unknown or without text."""
        if item_id not in self._read:
            item = self._items.get(item_id)
            self._read[item_id] = _words_of(item) if item is not None else None
        return self._read[item_id]


def _words_of(item: Item) -> _Words | None:
    if not (item.title or item.brand or item.categories):
        return None
    brand = item.brand or ""
    shelves = frozenset(path.split(LEVELS)[-1].strip() for path in item.categories) - {""}
    words = frozenset(_WORD.findall(item.title.lower())).difference(_WORD.findall(brand.lower()), _TELLS_NOTHING)
    return _Words(item.title, brand, shelves, words)
