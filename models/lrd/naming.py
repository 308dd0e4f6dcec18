"""Names of latent relations without a language model: what a relation's strongest pairs have in common.

A pair says things of itself: same brand, and which; same category, and which; which category with which other; a word
of the title that both have. The name is what a relation's pairs say more often than other pairs do.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dyngraph.catalogue import LEVELS
from dyngraph.events import Item
from dyngraph.relations import Pair, RelationTable

LEAST_SHARE = 0.25
"""Of a relation's pairs must say what names it."""
LEAST_PAIRS = 2
LEAST_LIFT = 1.5
"""Times as often as other pairs."""
SHIFTS = (1, 7, 31)
"""Items of the catalogue this far apart are pairs too, of no relation."""
_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON = "and count for from inch inches new ounce ounces pack set size the with you your"
_TELLS_NOTHING = frozenset(_COMMON.split())


def name_by_terms(
    pairs: Sequence[Pair], items: Mapping[str, Item], background: Sequence[Pair] = (), taken: Iterable[str] = ()
) -> str:
    """A few words such as ``both OPI``, ``same shelf: Nail Polish`` or ``Shampoos with Conditioners``.

    The pairs' scores weigh what they say; ``background`` are pairs that it must not be as common in. Names in ``taken``
    are somebody else's. Items that the catalogue does not know, or without any text, say nothing. Empty where nothing
    stands out. The same input gives the same name.
    """
    kept = set(taken)
    said: defaultdict[str, float] = defaultdict(float)
    pairs_saying = Counter[str]()
    whole = 0.0
    for pair in pairs:
        sayings = _sayings(pair, items)
        if sayings is None:
            continue
        whole += pair.score
        for saying in sayings:
            said[saying] += pair.score
            pairs_saying[saying] += 1
    usual = [sayings for pair in background if (sayings := _sayings(pair, items)) is not None]
    often = Counter(saying for sayings in usual for saying in sayings)
    best: tuple[float, str] | None = None
    for saying in sorted(said):
        share = said[saying] / whole
        expected = (often[saying] + 0.5) / (len(usual) + 1) if usual else 0.0
        lift = share / expected if expected else math.inf
        if saying in kept or share < LEAST_SHARE or pairs_saying[saying] < LEAST_PAIRS or lift < LEAST_LIFT:
            continue
        # How much the relation tells of the saying: its part of the Kullback-Leibler divergence.
        worth = share * math.log(min(lift, 1e6))
        if best is None or worth > best[0] + 1e-12:
            best = worth, saying
    return best[1] if best else ""


def named(table: RelationTable, items: Mapping[str, Item]) -> RelationTable:
    """The table with a name for each slot that has something to say, no name twice, by counting.

    Each relation is set against the pairs of the others and against items of the catalogue put together at random. The
    most used relations choose first.
    """
    ids = sorted(items)
    random_pairs = [
        Pair(ids[at], ids[at - shift], 1.0) for shift in SHIFTS if shift < len(ids) for at in range(len(ids))
    ]
    names: dict[int, str] = {}
    for number in sorted(range(len(table.slots)), key=lambda number: (-table.slots[number].usage, number)):
        others = [pair for other, slot in enumerate(table.slots) if other != number for pair in slot.pairs]
        # The other relations' pairs count as much as all the random ones.
        times = max(1, len(random_pairs) // max(1, len(others)))
        own = table.slots[number].pairs
        names[number] = name_by_terms(own, items, [*random_pairs, *others * times], names.values())
    slots = tuple(msgspec.structs.replace(slot, name=names[number]) for number, slot in enumerate(table.slots))
    return msgspec.structs.replace(table, slots=slots, producer="statistical")


def _sayings(pair: Pair, items: Mapping[str, Item]) -> set[str] | None:
    """What a pair says of itself; None where an end has no text at all."""
    past, candidate = items.get(pair.past), items.get(pair.candidate)
    if past is None or candidate is None or not (_speaks(past) and _speaks(candidate)):
        return None
    sayings = set()
    if past.title and past.title == candidate.title:
        sayings.add("the same by another number")
    if past.brand and past.brand == candidate.brand:
        sayings |= {"same brand", f"both {past.brand}"}
    elif past.brand and candidate.brand:
        sayings |= {f"{past.brand} with {candidate.brand}", "another brand"}
    first, second = _shelves(past), _shelves(candidate)
    sayings |= {f"same shelf: {shelf}" for shelf in first & second}
    if first and second:
        sayings.add("same shelf" if first & second else "another shelf")
        sayings |= {f"{a} with {b}" for a in first - second for b in second - first}
    sayings |= {f"both say “{word}”" for word in _words(past) & _words(candidate)}
    return sayings


def _speaks(item: Item) -> bool:
    return bool(item.title or item.brand or item.categories)


def _shelves(item: Item) -> set[str]:
    """The narrowest level of each category."""
    return {path.split(LEVELS)[-1].strip() for path in item.categories} - {""}


def _words(item: Item) -> set[str]:
    """Telling words of the title, the brand's own left out."""
    own = {word.lower() for word in _WORD.findall(item.brand or "")}
    return {word.lower() for word in _WORD.findall(item.title)} - own - _TELLS_NOTHING
