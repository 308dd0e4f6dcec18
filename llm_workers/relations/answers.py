"""Answers to the question for a relation's name, read strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from llm_workers.prompts.chains import texts_in
from llm_workers.protocols import Prompt
from llm_workers.reading import InvalidAnswer, cleaned, decoded
from llm_workers.reasoning.soundness import names_somebody
from llm_workers.scripts import scripts_of

NAME = 40
"""Most characters, as the schema says."""


class RelationName(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to ``relations``; empty for pairs that have nothing in common."""

    name: str


def read_name(prompt: Prompt, text: str) -> RelationName:
    """The name, cleaned. Raises InvalidAnswer for one that is too long, in a foreign script, or names a person."""
    said = decoded(text, RelationName).name
    name = cleaned(said, NAME, scripts_of(texts_in(prompt)))
    if said.strip() and not name:
        raise InvalidAnswer(f"name is not usable: give at most {NAME} letters in the language of the items")
    if names_somebody(name):
        raise InvalidAnswer("name tells of a person: say only what the items have in common")
    return RelationName(name)


def _checked(prompt: Prompt, text: str) -> str:
    return msgspec.json.encode(read_name(prompt, text)).decode()


CHECKS: Mapping[str, Callable[[Prompt, str], str]] = {"relations": _checked}
"""By the prompt's kind: gives an answer's clean form."""
