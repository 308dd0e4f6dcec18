"""Words of texts: which of them speak of an item, and how to tell a text without those that give it away."""

from __future__ import annotations

import re
from collections.abc import Set

_KINDS = """
a accessories accessory addition alike alternative an and another as attribute belongs brand by categories category
collection color colour combination combined combines companion complement complementary complements completes for
continuation fits follow follows from goes in is item items kind like line maker match matched matches matching near
next of on or pair paired pairs part product products range refill related replacement replaces same second series
set share shared shares similar similarity step style substitute than the theme to together topic type upgrade use
used uses variant variation variety version with
"""
KINDS_OF_REASON = frozenset(_KINDS.split())
"""Words that a relation may have besides the items' own: they tell why one thing comes after another, and of nobody."""
_WORD = re.compile(r"[^\s!-/:-@\[-`{-~]+")
"""Whatever stands between blanks and ASCII punctuation: no sign of another script is passed over."""


def words(*texts: str) -> set[str]:
    """The distinct words of texts, folded."""
    return {word for text in texts for word in _WORD.findall(text.casefold())}


def without(text: str, hidden: Set[str], mask: str) -> str:
    """``text`` with ``mask`` in the place of each run of ``hidden`` words.

    >>> without("goes with Green polish, of course", {"green", "polish"}, "___")
    'goes with ___, of course'
    """
    told: list[str] = []
    end, masked_to = 0, -1
    for found in _WORD.finditer(text):
        between = text[end : found.start()]
        if found.group().casefold() not in hidden:
            told += [between, found.group()]
        elif masked_to == end and not between.strip():
            masked_to = found.end()
        else:
            told += [between, mask]
            masked_to = found.end()
        end = found.end()
    return "".join((*told, text[end:]))
