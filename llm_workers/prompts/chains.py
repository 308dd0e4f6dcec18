"""The four questions of reasoning, about chains of items, as data.

A later question holds what an earlier one was answered: the chains of ``reasoning`` hold the reasons so far,
``scoring`` what ``verification`` put in. So a batch export of them goes in rounds, see
:mod:`llm_workers.reasoning.rounds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llm_workers.prompts.files import load_prompt
from llm_workers.prompts.quoting import data_document, quoted
from llm_workers.protocols import PastItem, Prompt

LINK, DIVERGE, FILL, SCORE = "reasoning.v1", "divergence.v1", "verification.v1", "scoring.v1"
VERSION = "+".join((LINK, DIVERGE, FILL, SCORE))
"""Of the four together, as an artefact names it."""
MOST_TAKEN = 16
"""Items of the past that a link may go on from, the newest."""
MOST_BYTES = 4_000
"""Of those as JSON: some 1,000 tokens of English."""
TITLE, BRAND, CATEGORY, PHRASE, REASON = 100, 40, 40, 40, 200
"""Most characters of each text."""
CATEGORIES = 3
"""The last ones of an item: the most specific."""
MOST_ATTRIBUTES = 8
MASK = "___"


class Told(msgspec.Struct, frozen=True):
    """An item of a chain, as a question tells it."""

    item: PastItem
    number: int = 0
    """From 1; 0 where numbers are not needed."""
    came_from: int = 0
    """Number of the item before it in its chain, 0 for none."""
    relation: str = ""
    concept: str = ""
    reason: str = ""


def link_prompt(
    taken: Sequence[Told], item: Told, attributes: Sequence[tuple[str, str]] = (), *, owner: str = ""
) -> Prompt:
    """Why was ``item`` taken after ``taken`` (oldest first; the newest are kept while there is room)?"""
    entries = [_of_taken(told) for told in with_room(taken)]
    content: dict[str, Any] = {"taken": entries, "item": {"n": item.number, **_described(item.item)}}
    if attributes:
        said = {quoted(name, PHRASE): quoted(value, PHRASE) for name, value in attributes[:MOST_ATTRIBUTES]}
        content["customer"] = said
    return _prompt(LINK, content, owner)


def with_room(taken: Sequence[Told]) -> Sequence[Told]:
    """Those of ``taken`` that :func:`link_prompt` tells: the newest, while there is room."""
    room, count = MOST_BYTES, 0
    for told in reversed(taken[-MOST_TAKEN:]):
        room -= len(data_document(_of_taken(told)).encode()) + 1
        if room < 0:
            break
        count += 1
    return taken[len(taken) - count :]


def diverge_prompt(chain: Sequence[Told], most: int, *, owner: str = "") -> Prompt:
    """What could come after the chain (oldest first)? At most ``most`` items, 8 at the most."""
    return _prompt(DIVERGE, {"chain": [_of_chain(told, told.reason) for told in chain], "most": min(most, 8)}, owner)


def fill_prompt(chain: Sequence[Told], masked: Told, hides: str, *, owner: str = "") -> Prompt:
    """What stands in the place of the mask? Of ``masked`` the item or the concept is not told; its reason never is."""
    if hides == "item":
        last: dict[str, Any] = {"title": MASK, "concept": quoted(masked.concept, PHRASE)}
    else:
        last = {**_described(masked.item), "concept": MASK}
    last["relation"] = quoted(masked.relation, PHRASE)
    return _prompt(FILL, {"chain": [*(_of_chain(told, "") for told in chain), last], "hidden": hides}, owner)


def score_prompt(original: str, filled: str, *, owner: str = "") -> Prompt:
    """How well does ``filled`` agree with ``original``?"""
    return _prompt(SCORE, {"original": quoted(original, 2 * TITLE), "filled": quoted(filled, 2 * TITLE)}, owner)


def texts_in(prompt: Prompt) -> Iterator[str]:
    """The texts that one of these prompts quotes."""
    waiting: list[Any] = [msgspec.json.decode(prompt.user)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _of_taken(told: Told) -> dict[str, Any]:
    entry = {"n": told.number, **_described(told.item)}
    if told.came_from:
        entry |= {"from": told.came_from, "because": quoted(told.reason, REASON)}
    return entry


def _of_chain(told: Told, reason: str) -> dict[str, Any]:
    entry = _described(told.item)
    why = {"relation": told.relation, "concept": told.concept} if told.came_from and not reason else {}
    entry |= {name: quoted(text, PHRASE) for name, text in why.items() if text}
    if told.came_from and reason:
        entry["because"] = quoted(reason, REASON)
    return entry


def _described(item: PastItem) -> dict[str, Any]:
    categories = [quoted(category, CATEGORY) for category in item.categories[-CATEGORIES:]]
    texts = {
        "title": quoted(item.title, TITLE),
        "brand": quoted(item.brand, BRAND),
        "categories": [category for category in categories if category],
    }
    return {name: text for name, text in texts.items() if text}


def _prompt(version: str, content: dict[str, Any], owner: str) -> Prompt:
    prompt = load_prompt(version)
    return Prompt(
        prompt.file.kind,
        prompt.version,
        prompt.file.system,
        data_document(content),
        prompt.schema,
        prompt.file.max_tokens,
        owner,
    )
