"""Finding the JSON object in what a language model wrote around it, or in what it did not finish."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

LONGEST = 20_000
"""Characters looked at: no artefact needs more, and what repeats itself without end is cut here."""
STARTS = 8
"""Opening braces tried."""

_DECODER = json.JSONDecoder()
_CLOSING = {"{": "}", "[": "]"}


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Candidates, the likeliest first: whole objects in the order of the text, then an unfinished one completed."""
    text = text[:LONGEST]
    end = -1
    first: int | None = None
    for start in [match.start() for match in re.finditer(r"\{", text)][:STARTS]:
        if start < end:
            continue
        try:
            found, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            first = start if first is None else first
            continue
        if isinstance(found, dict):
            yield found
    if first is not None and (found := _completed(text[first:])) is not None:
        yield found


def _completed(text: str) -> dict[str, Any] | None:
    """An object whose end is missing, cut back to its last whole value and closed; None if that gives none."""
    open_brackets: list[str] = []
    in_string = escaped = False
    good = ""
    for index, letter in enumerate(text):
        if in_string:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                in_string = False
                if open_brackets[-1:] == ["["]:
                    good = text[: index + 1] + _closed(open_brackets)
        elif letter == '"':
            in_string = True
        elif letter in "{[":
            open_brackets.append(letter)
        elif letter in "}]":
            if not open_brackets or _CLOSING[open_brackets.pop()] != letter:
                break
            good = text[: index + 1] + _closed(open_brackets)
    try:
        found = json.loads(good)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _closed(open_brackets: list[str]) -> str:
    return "".join(_CLOSING[bracket] for bracket in reversed(open_brackets))
