"""The question for a user's profile: a short history, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any

import msgspec

from llm_workers.prompts.files import load_prompt
from llm_workers.prompts.quoting import data_document, quoted
from llm_workers.protocols import PastItem, ProfileRequest, Prompt

VERSION = "profile.v1"
MOST_ITEMS = 24
MOST_BYTES = 3_000
"""Of the whole history as JSON: some 800 tokens of English."""
TITLE, BRAND, CATEGORY = 120, 60, 60
"""Most characters of each text."""
CATEGORIES = 4
"""The last ones of an item: the most specific."""
DAY_MS = 86_400_000


def profile_prompt(request: ProfileRequest, version: str = VERSION) -> Prompt | None:
    """Ask for this user's facets; None where the history has no text to ask about.

    The newest and the heaviest items take turns until the room is full. Nothing of the user but this history enters.
    """
    room = MOST_BYTES
    chosen: dict[int, dict[str, Any]] = {}
    for index in _newest_and_heaviest(request.past):
        entry = _entry(request.past[index], request.ts)
        if entry is None:
            continue
        room -= len(data_document(entry).encode()) + 1
        if room < 0 or len(chosen) == MOST_ITEMS:
            break
        chosen[index] = entry
    if not chosen:
        return None
    prompt = load_prompt(version)
    return Prompt(
        kind=prompt.file.kind,
        version=prompt.version,
        system=prompt.file.system,
        user=data_document({"history": [chosen[index] for index in sorted(chosen, key=lambda at: _age(request, at))]}),
        schema=prompt.schema,
        max_tokens=prompt.file.max_tokens,
        owner=request.user_id,
    )


def texts_of(prompt: Prompt) -> Iterator[str]:
    """The texts that a prompt quotes."""
    for entry in msgspec.json.decode(prompt.user)["history"]:
        yield entry.get("title", "")
        yield entry.get("brand", "")
        yield from entry.get("categories", ())


def _newest_and_heaviest(past: Sequence[PastItem]) -> Iterator[int]:
    newest = sorted(range(len(past)), key=lambda index: (-past[index].ts, index))
    heaviest = sorted(newest, key=lambda index: -past[index].weight)
    taken: set[int] = set()
    for index in chain.from_iterable(zip_longest(newest, heaviest)):
        if index is not None and index not in taken:
            taken.add(index)
            yield index


def _age(request: ProfileRequest, index: int) -> tuple[int, int]:
    return request.past[index].ts, index


def _entry(item: PastItem, now: int) -> dict[str, Any] | None:
    """None for an item without text."""
    categories = [quoted(category, CATEGORY) for category in item.categories[-CATEGORIES:]]
    texts = {
        "title": quoted(item.title, TITLE),
        "brand": quoted(item.brand, BRAND),
        "categories": [category for category in categories if category],
    }
    filled: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if filled:
        filled["weight"] = round(item.weight, 1)
        filled["days"] = max((now - item.ts) // DAY_MS, 0)
    return filled or None
