"""Answers to the four questions of reasoning, read strictly: only what the schema has room for comes through."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from llm_workers.prompts.chains import texts_in
from llm_workers.protocols import Prompt
from llm_workers.reading import InvalidAnswer, cleaned, decoded
from llm_workers.scripts import scripts_of

PHRASE, NAME, REASON, FILLED = 40, 100, 200, 120
"""Most characters, as the schemas say."""


class Link(msgspec.Struct, forbid_unknown_fields=True, rename={"came_from": "from"}):
    """Of an answer to ``reasoning``."""

    came_from: int
    relation: str
    concept: str
    reason: str


class Name(msgspec.Struct, forbid_unknown_fields=True):
    """Of an answer to ``divergence``."""

    name: str
    relation: str
    reason: str


class Links(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to ``reasoning``."""

    links: list[Link]


class Names(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to ``divergence``."""

    items: list[Name]


class Filling(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to ``verification``."""

    filled: str


class Score(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to ``scoring``."""

    score: float


def read_links(prompt: Prompt, text: str) -> Links:
    """Up to three links with their texts cleaned; one without a usable reason is left out. Raises InvalidAnswer.

    An empty list says that nothing connects the item. Whether the numbers make sense is for the builder to see.
    """
    answer, scripts = decoded(text, Links), scripts_of(texts_in(prompt))
    links = [
        Link(link.came_from, cleaned(link.relation, PHRASE, scripts), cleaned(link.concept, PHRASE, scripts), reason)
        for link in answer.links[:3]
        if (reason := cleaned(link.reason, REASON, scripts))
    ]
    if answer.links and not links:
        raise InvalidAnswer("no link has a usable reason: give one sentence in the language of the items")
    return Links(links)


def read_names(prompt: Prompt, text: str) -> Names:
    """Up to eight distinct names, cleaned. Raises InvalidAnswer."""
    answer, scripts = decoded(text, Names), scripts_of(texts_in(prompt))
    found: dict[str, Name] = {}
    for said in answer.items[:8]:
        if name := cleaned(said.name, NAME, scripts):
            relation, reason = cleaned(said.relation, PHRASE, scripts), cleaned(said.reason, REASON, scripts)
            found.setdefault(name.casefold(), Name(name, relation, reason))
    if answer.items and not found:
        raise InvalidAnswer("no item has a usable name: give short names in the language of the items")
    return Names(list(found.values()))


def read_filling(prompt: Prompt, text: str) -> Filling:
    """What was filled in, cleaned; never empty. Raises InvalidAnswer."""
    filled = cleaned(decoded(text, Filling).filled, FILLED, scripts_of(texts_in(prompt)))
    if not filled:
        raise InvalidAnswer("filled holds no usable text: give a short one in the language of the items")
    return Filling(filled)


def read_score(prompt: Prompt, text: str) -> Score:
    """A score of 0 to 100. Raises InvalidAnswer."""
    score = decoded(text, Score)
    if not 0 <= score.score <= 100:
        raise InvalidAnswer("score must lie in 0 to 100")
    return Score(round(score.score))


def _checker(read: Callable[[Prompt, str], msgspec.Struct]) -> Callable[[Prompt, str], str]:
    return lambda prompt, text: msgspec.json.encode(read(prompt, text)).decode()


CHECKS: Mapping[str, Callable[[Prompt, str], str]] = {
    "reasoning": _checker(read_links),
    "divergence": _checker(read_names),
    "verification": _checker(read_filling),
    "scoring": _checker(read_score),
}
"""By the prompt's kind: gives an answer's clean form."""
