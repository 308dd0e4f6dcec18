"""Which writing system a text is in: enough to notice an answer in another language than the question's."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import chain

ENOUGH = 0.05
"""Share of the letters from which a script counts as one of a text's own."""
_TOGETHER = {"CJK": "HAN", "HIRAGANA": "HAN", "KATAKANA": "HAN", "IDEOGRAPHIC": "HAN", "FULLWIDTH": "LATIN"}


def script_counts(texts: Iterable[str]) -> Counter[str]:
    """Letters by script, for example ``LATIN``, ``CYRILLIC``, ``HAN`` (with kana), ``HANGUL``."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(chain.from_iterable(texts)).items():
        if letter.isalpha():
            script = "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]
            counts[_TOGETHER.get(script, script)] += count
    return counts


def scripts_of(texts: Iterable[str]) -> frozenset[str]:
    """Scripts that make up a fair share of the letters; empty where there are no letters."""
    counts = script_counts(texts)
    return frozenset(script for script, count in counts.items() if count >= ENOUGH * counts.total())


def is_foreign(phrase: str, scripts: frozenset[str]) -> bool:
    """Whether most letters of ``phrase`` belong to none of ``scripts`` (nothing is foreign to an empty set)."""
    counts = script_counts([phrase])
    return bool(scripts) and 2 * sum(counts[script] for script in scripts) < counts.total()
