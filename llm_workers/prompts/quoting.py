"""Text from outside as harmless data: it ends where we say, and no part of it means anything to a chat template.

Control and format characters (bidirectional overrides, zero-width letters, line ends, lone surrogates) are dropped,
lengths are bounded, and ``<``, ``>`` and square brackets, of which templates build their markers (``<|im_end|>``,
``[INST]``), cannot reach the model as they are: brackets become round ones, the others JSON escapes.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec

_BRACKETS = str.maketrans("[]", "()")


def plain(text: str, longest: int) -> str:
    """One line of visible text, at most ``longest`` characters."""
    # Twice the length first: normalising 10 kB of somebody's title is work for nothing.
    visible = text[: 2 * longest]
    if not (visible.isascii() and visible.isprintable()):
        normal = unicodedata.normalize("NFC", visible)
        visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in normal)
    return " ".join(visible.split())[:longest].rstrip()


def quoted(text: str, longest: int) -> str:
    """``text`` as it may stand in a document of :func:`data_document`."""
    return plain(text, longest).translate(_BRACKETS)


def data_document(content: Any) -> str:
    """JSON in which text cannot leave its quotes, and that holds no ``<`` and no ``>``."""
    return msgspec.json.encode(content).decode().replace("<", "\\u003c").replace(">", "\\u003e")
