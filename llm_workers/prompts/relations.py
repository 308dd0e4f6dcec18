"""The question for the name of a latent relation: its strongest pairs of items, as data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dyngraph.events import Item
from llm_workers.prompts.files import load_prompt
from llm_workers.prompts.quoting import data_document, quoted
from llm_workers.protocols import Prompt

VERSION = "relations.v1"
MOST_PAIRS = 12
MOST_BYTES = 4_000
"""Of the pairs as JSON: some 1,000 tokens of English."""
TITLE, BRAND, CATEGORY = 80, 40, 40
"""Most characters of each text."""
CATEGORIES = 2
"""The last ones of an item: the most specific."""


def naming_prompt(pairs: Iterable[tuple[Item | None, Item | None]]) -> Prompt | None:
    """What do these pairs (what was taken before, what it then speaks for; the surest first) have in common?

    A pair is told while there is room and if both of its items have a text; None where there are fewer than two, which
    have nothing in common with each other. Nobody is in the question, so it has no owner.
    """
    room, told = MOST_BYTES, list[dict[str, Any]]()
    for past, following in pairs:
        one, other = _described(past), _described(following)
        entry = {"past": one, "next": other}
        room -= len(data_document(entry).encode()) + 1
        if room < 0 or len(told) == MOST_PAIRS:
            break
        if one and other:
            told.append(entry)
    if len(told) < 2:
        return None
    prompt = load_prompt(VERSION)
    document = data_document({"pairs": told})
    return Prompt(prompt.file.kind, VERSION, prompt.file.system, document, prompt.schema, prompt.file.max_tokens)


def _described(item: Item | None) -> dict[str, Any]:
    """The texts of an item, empty where nothing is known of it."""
    if item is None:
        return {}
    categories = [quoted(category, CATEGORY) for category in item.categories[-CATEGORIES:]]
    texts = {
        "title": quoted(item.title, TITLE),
        "brand": quoted(item.brand or "", BRAND),
        "categories": [category for category in categories if category],
    }
    return {name: text for name, text in texts.items() if text}
