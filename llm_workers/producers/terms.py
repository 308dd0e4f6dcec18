"""Terms of a catalogue: what items are called, and how much a name tells.

A term is a category level, a brand, a title word or a pair of neighbouring title words. One that every item bears
tells nothing of a user who has it, and one that a single item bears tells nothing but that item.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Protocol

import msgspec

LONGEST = 60
"""Characters that are kept of a term."""

MOST_WORDS = 24
"""Words that are read of a title."""

LEVEL_MARK = re.compile(r"\s*>\s*")
RARE = 1_000
"""A title word must stand in at least one of this many titles (and in two) to be more than chance."""

_WORD = re.compile(r"[^\W\d_][^\W_'’]*(?:['’-][^\W_]+)*")
_NO_BRAND = frozenset({"unknown", "none", "n/a", "na", "null", "generic", "unbranded", "no brand", "-"})
_COMMON = """
a an and are as at be by da de der die do du el en et for from go he her his how i if in into is it its la le les my no
not of off on one or our out per she so that the their these this to two up was we who why with without you your
"""
_UNITS = """
amp bag box cm count ct each fl floz fluid free gm gr gram grams inch inches kg kit lb lbs liter mg ml mm new ounce
ounces oz pack packs pair pc pcs piece pieces qty set sets size value
"""
_TELLS_NOTHING = frozenset([*_COMMON.split(), *_UNITS.split()])


class Described(Protocol):
    """Anything with an item's texts: :class:`dyngraph.events.Item` and :class:`llm_workers.protocols.PastItem`."""

    @property
    def title(self) -> str:
        """May be empty."""
        ...

    @property
    def brand(self) -> str | None:
        """May be absent or empty."""
        ...

    @property
    def categories(self) -> tuple[str, ...]:
        """Names, or paths such as ``Makeup > Nails``."""
        ...


def tidy(text: str) -> str:
    """One line of printable characters, runs of blanks as one, at most :data:`LONGEST` characters."""
    text = text[: 4 * LONGEST]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:LONGEST].rstrip()


def category_paths(item: Described) -> list[tuple[str, ...]]:
    """The levels of each category, the most general first.

    >>> from dyngraph.events import Item
    >>> category_paths(Item("i", categories=("Makeup > Nails > Nail Polish",)))
    [('Makeup', 'Nails', 'Nail Polish')]
    """
    return [levels for path in item.categories if (levels := _levels(path))]


@functools.lru_cache(maxsize=10_000)
def _levels(path: str) -> tuple[str, ...]:
    return tuple(filter(None, map(tidy, LEVEL_MARK.split(path))))


def brand_of(item: Described) -> str:
    """The brand, empty where it is not known."""
    brand = tidy(item.brand or "")
    return "" if brand.casefold() in _NO_BRAND else brand


def title_words(item: Described) -> list[str]:
    """Telling words of the title in order, lower case: no numbers, units, common words, nor those of the brand."""
    brand = brand_of(item)
    own = set(_WORD.findall(brand.casefold())) if brand else set()
    words = _WORD.findall(item.title[:600].casefold())[:MOST_WORDS]
    return [w for w in words if 2 < len(w) <= LONGEST // 2 and w not in _TELLS_NOTHING and w not in own]


def title_terms(item: Described) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Distinct words and pairs of the title, each with the words that it contains besides itself."""
    words = title_words(item)
    yield from ((word, ()) for word in dict.fromkeys(words))
    pairs = dict.fromkeys(pair for pair in pairwise(words) if pair[0] != pair[1])
    yield from ((" ".join(pair), pair) for pair in pairs)


class Terms(msgspec.Struct, frozen=True):
    """How many items of a catalogue bear each term: its document frequencies."""

    items: int = 0
    categories: Mapping[str, int] = {}
    leaves: Mapping[str, int] = {}
    """Categories again, each counted where it is the most specific one."""
    brands: Mapping[str, int] = {}
    words: Mapping[str, int] = {}
    """Title words and pairs."""

    @classmethod
    def of(cls, items: Iterable[Described]) -> Terms:
        """Count a catalogue. That an item exists is no news of anybody's future, so all of it may be read."""
        n = 0
        categories, leaves, brands, words = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for item in items:
            n += 1
            paths = category_paths(item)
            categories.update({level for path in paths for level in path})
            leaves.update({path[-1] for path in paths})
            words.update(term for term, _ in title_terms(item))
            if brand := brand_of(item):
                brands[brand] += 1
        often = max(2, n / RARE)
        kept = {term: count for term, count in words.items() if count >= often}
        return cls(n, dict(categories), dict(leaves), dict(brands), kept)

    def telling(self, kind: str, term: str) -> float:
        """Weight of a term: its inverse document frequency; 0 for what most items bear, 1 if nothing was counted.

        ``kind`` is ``categories``, ``brands`` or ``words``. A rare title word counts 0, too.
        """
        if not self.items:
            return 1.0
        bearers: int = getattr(self, kind).get(term, 0)
        if bearers == 0:
            return 0.0 if kind == "words" else math.log(1 + self.items)
        return math.log((1 + self.items) / bearers) if bearers <= self.items / 2 else 0.0
