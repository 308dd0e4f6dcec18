"""What speaks for one item coming after another: nearness in the graph, brand, category, text.

Values lie in 0 to 1 and are comparable between kinds: an attribute counts by how few items bear it (its inverse
document frequency over the largest there can be), nearness by the root of its strength, as strengths are shares of
common users and small where items are popular. :mod:`llm_workers.reasoning.kernels` does the same in bulk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from llm_workers.producers.terms import Described, Terms, brand_of, category_paths
from llm_workers.protocols import PastItem
from llm_workers.reasoning.facts import Facts, called, text_of

NEAR, BRAND, CATEGORY, ALIKE = 0, 1, 2, 3
"""Kinds of evidence."""
RELATIONS = ("follows", "same brand", "same category", "alike")
"""What a link by each kind is called; one by nearness bears the name of the relation that it came with."""
GOES_WITH = "goes with"
"""What a language model calls a link of no kind of its own."""
WEIGHT = (1.0, 0.4, 0.3, 0.5)
"""Of each kind."""
NOT_ALIKE = 0.4
"""Cosine from which texts begin to be alike: what two items of one shop have in common is no reason."""

Likeness = Callable[[str, str], float]
"""Cosine of two items' texts by their ids, 0 where one has none."""


class Evidence(NamedTuple):
    """One thing that speaks for a link."""

    kind: int
    relation: str
    value: float


class Attributes(NamedTuple):
    """Terms of an item, each with how telling it is, 0 to 1."""

    brand: str
    categories: Mapping[str, float]


class Weigher:
    """Weighs pairs of items, by the terms of a catalogue and, where there are vectors, by text."""

    def __init__(self, terms: Terms | None = None, likeness: Likeness | None = None) -> None:
        self._terms = terms or Terms()
        self._likeness = likeness
        self.attributes = lru_cache(maxsize=20_000)(self._attributes)
        """Brand and categories of an item."""

    def telling(self, kind: str, term: str) -> float:
        """How much a term (``brands``, ``categories``) tells, 0 to 1; one that no item bears tells nothing."""
        if not self._terms.items:
            return 1.0
        if term not in (self._terms.brands if kind == "brands" else self._terms.categories):
            return 0.0
        return self._terms.telling(kind, term) / math.log(1 + self._terms.items)

    def concept_value(self, concept: str) -> float:
        """How much a concept of the catalogue tells, as a brand or as a category, whichever is more."""
        return max(self.telling("brands", concept), self.telling("categories", concept))

    def all_for(self, facts: Facts, earlier: PastItem, later: PastItem) -> list[Evidence]:
        """What speaks for ``later`` after ``earlier``, by kind; nothing of no value."""
        found = []
        near = facts.near(earlier.item_id).get(later.item_id)
        if near is not None and near.strength > 0:
            found.append(Evidence(NEAR, near.relation, WEIGHT[NEAR] * math.sqrt(min(near.strength, 1.0))))
        one, other = self.attributes(earlier), self.attributes(later)
        if one.brand and one.brand == other.brand and (value := self.telling("brands", one.brand)) > 0:
            found.append(Evidence(BRAND, RELATIONS[BRAND], WEIGHT[BRAND] * value))
        if (value := max((one.categories[name] for name in one.categories if name in other.categories), default=0)) > 0:
            found.append(Evidence(CATEGORY, RELATIONS[CATEGORY], WEIGHT[CATEGORY] * value))
        if (value := self.alike(earlier, later)) > 0:
            found.append(Evidence(ALIKE, RELATIONS[ALIKE], WEIGHT[ALIKE] * value))
        return found

    def alike(self, one: PastItem, other: PastItem) -> float:
        """How alike the texts are, 0 to 1."""
        if self._likeness is None:
            return 0.0
        return max(0.0, (self._likeness(one.item_id, other.item_id) - NOT_ALIKE) / (1 - NOT_ALIKE))

    def likeness(self, one: PastItem, other: PastItem) -> float:
        """How well one item would do for the other, 0 to 1."""
        if text_of(one) and text_of(one) == text_of(other):
            return 1.0
        mine, theirs = self.attributes(one), self.attributes(other)
        brand = self.telling("brands", mine.brand) if mine.brand and mine.brand == theirs.brand else 0.0
        shared = max((mine.categories[name] for name in mine.categories if name in theirs.categories), default=0.0)
        return max(brand, shared, self.alike(one, other))

    def concept(self, earlier: PastItem, later: PastItem) -> str:
        """What the two have in common: the narrowest category, else the brand; else the later's own."""
        one, other = self.attributes(earlier), self.attributes(later)
        if shared := narrowest({name: one.categories[name] for name in one.categories if name in other.categories}):
            return shared
        return one.brand if one.brand and one.brand == other.brand else own_concept(later)

    def _attributes(self, item: PastItem) -> Attributes:
        levels = {level for path in category_paths(item) for level in path}
        return Attributes(brand_of(item), {level: self.telling("categories", level) for level in sorted(levels)})


def own_concept(item: Described) -> str:
    """What an item is about by itself: the most specific level of its first category, else its brand, else nothing."""
    paths = category_paths(item)
    return paths[0][-1] if paths else brand_of(item)


def narrowest(categories: Mapping[str, float]) -> str:
    """The most telling of them, of equals the last by name; empty where none tells anything."""
    best = max(categories, key=lambda name: (categories[name], name), default="")
    return best if best and categories[best] > 0 else ""


def sentence(relation: str, concept: str, earlier: PastItem, later: PastItem) -> str:
    """Why ``later`` came after ``earlier``, in words."""
    one, other = called(earlier), called(later)
    brand = brand_of(later)
    if relation == RELATIONS[BRAND] and brand == brand_of(earlier) and (brand or concept):
        return f"{other} is by {brand or concept}, as {one} is."
    if relation == RELATIONS[CATEGORY] and concept:
        return f"{other} is of the kind {concept}, as {one} is."
    if relation == RELATIONS[ALIKE]:
        return f"{other} is described much like {one}."
    if relation == RELATIONS[NEAR]:
        return f"Others took {other} after {one}."
    return f"{other} goes with {one}{f' ({relation})' if relation not in ('', GOES_WITH) else ''}."
