"""WordPiece: text to token ids, as BERT models were trained with (Devlin et al., 2019, and its uncased vocabulary).

Written here because the usual library brings a network client and a dozen packages along; equal to it on all titles of
amazon-beauty (``docs/performance.md``).
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path

UNKNOWN, FIRST, LAST, PADDING = "[UNK]", "[CLS]", "[SEP]", "[PAD]"
LONGEST_WORD = 100
"""A word of more characters is unknown as a whole."""


class WordPiece:
    """Longest-match-first pieces of words.

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "nail", "##s", "!"]
    >>> WordPiece({piece: number for number, piece in enumerate(pieces)}).ids("Nails!", 8)
    [2, 4, 5, 6, 3]
    """

    def __init__(self, vocabulary: dict[str, int], *, lower: bool = True) -> None:
        self._vocabulary, self._lower = vocabulary, lower
        self.padding = vocabulary[PADDING]
        self._first, self._last, self._unknown = (vocabulary[mark] for mark in (FIRST, LAST, UNKNOWN))
        # Catalogues use few words again and again.
        self._pieces = functools.lru_cache(maxsize=100_000)(self._split)

    @classmethod
    def of_file(cls, path: Path, *, lower: bool = True) -> WordPiece:
        """Read ``vocab.txt``: one piece a line, its number is that of the line."""
        lines = path.read_text(encoding="utf-8").split("\n")
        return cls({piece.rstrip("\r"): number for number, piece in enumerate(lines) if piece}, lower=lower)

    def ids(self, text: str, longest: int) -> list[int]:
        """At most ``longest`` ids, the marks of beginning and end included."""
        found: list[int] = [self._first]
        for word in self._words(text):
            found += self._pieces(word)
            if len(found) >= longest:
                break
        return [*found[: longest - 1], self._last]

    def _words(self, text: str) -> Iterator[str]:
        text = "".join(map(_spaced, text))
        if self._lower:
            text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        for run in text.split():
            start = 0
            for place, character in enumerate(run):
                if _is_punctuation(character):
                    if start < place:
                        yield run[start:place]
                    yield character
                    start = place + 1
            if start < len(run):
                yield run[start:]

    def _split(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST_WORD:
            return (self._unknown,)
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            for stop in range(len(word), start, -1):
                number = self._vocabulary.get(mark + word[start:stop])
                if number is not None:
                    break
            else:
                return (self._unknown,)
            found.append(number)
            start = stop
        return tuple(found)


def _spaced(character: str) -> str:
    """The character, blanks round it if it is Chinese, nothing if it is a control character."""
    if character.isspace():
        return " "
    if character == "\ufffd" or unicodedata.category(character).startswith("C"):
        return ""
    return f" {character} " if _is_chinese(ord(character)) else character


@functools.cache
def _is_punctuation(character: str) -> bool:
    """Also ``$`` or ``^``, which Unicode calls symbols."""
    return (character.isascii() and not character.isalnum()) or unicodedata.category(character).startswith("P")


def _is_chinese(code: int) -> bool:
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )
