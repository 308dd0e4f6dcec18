"""What a model answered, in its clean form or not at all: checked by its kind, asked for again at most twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from llm_workers.prompts.profile import texts_of
from llm_workers.protocols import Answer, Answerer, Facets, Prompt, Spent
from llm_workers.reading import LONGEST_PHRASE, InvalidAnswer, cleaned, decoded, rejected
from llm_workers.reasoning import answers as reasoning
from llm_workers.relations import answers as relations
from llm_workers.scripts import scripts_of

__all__ = [
    "LONGEST_PHRASE",
    "MOST_PHRASES",
    "REPAIRS",
    "InvalidAnswer",
    "RepairingAnswerer",
    "checked",
    "read_profile",
    "rejected",
]

MOST_PHRASES = 8
"""As the schema of profiles says."""
REPAIRS = 2


class _Profile(msgspec.Struct, forbid_unknown_fields=True):
    segment: list[str]
    interests: list[str]
    categories: list[str]
    brands: list[str]


def read_profile(prompt: Prompt, text: str) -> Facets:
    """The facets in an answer to a profile prompt. Raises :class:`InvalidAnswer`.

    Phrases that are too long, too many, or in a script that the history has none of are dropped and counted.
    """
    answer = decoded(text, _Profile)
    scripts = scripts_of(texts_of(prompt))
    facets = Facets(*(_clean(getattr(answer, name), scripts) for name in Facets.__struct_fields__))
    if facets == Facets():
        raise InvalidAnswer("no list holds a usable phrase: give short phrases in the language of the items")
    return facets


def checked(prompt: Prompt, text: str) -> str:
    """The clean form of an answer of any kind, as it is cached. Raises :class:`InvalidAnswer`."""
    check = _CHECKS.get(prompt.kind)
    if check is None:
        raise InvalidAnswer(f"this program asks nothing of the kind {prompt.kind!r}; it asks: {', '.join(_CHECKS)}")
    return check(prompt, text)


class RepairingAnswerer:
    """Passes on clean answers only; what does not fit is asked for again, with the reason, at most twice."""

    def __init__(self, answerer: Answerer, repairs: int = REPAIRS) -> None:
        self._answerer, self._repairs = answerer, repairs
        self.repaired = 0
        """Questions asked again."""

    @property
    def model_id(self) -> str:
        """Of the answerer."""
        return self._answerer.model_id

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError`; ``invalid_answer`` after the last repair."""
        asked, spent = prompt, Spent()
        for repairs_left in reversed(range(self._repairs + 1)):
            answer = await self._answerer.answer(asked)
            spent = _sum(spent, answer.spent)
            try:
                return msgspec.structs.replace(answer, text=checked(prompt, answer.text), spent=spent)
            except InvalidAnswer as error:
                if not repairs_left:
                    raise
                self.repaired += 1
                again = f"{prompt.system}\n\nYour last answer was refused: {error}. Answer again."
                asked = msgspec.structs.replace(prompt, system=again)
        raise AssertionError("the last round returns or raises")


def _clean(phrases: list[str], scripts: frozenset[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for phrase in phrases:
        text = cleaned(phrase, LONGEST_PHRASE, scripts)
        if text and len(kept) == MOST_PHRASES and text.casefold() not in kept:
            rejected["too_many"] += 1
        elif text:
            kept.setdefault(text.casefold(), text)
    return tuple(kept.values())


def _checked_profile(prompt: Prompt, text: str) -> str:
    return msgspec.json.encode(read_profile(prompt, text)).decode()


def _sum(first: Spent, second: Spent) -> Spent:
    return Spent(*(a + b for a, b in zip(msgspec.structs.astuple(first), msgspec.structs.astuple(second), strict=True)))


_CHECKS: Mapping[str, Callable[[Prompt, str], str]] = {
    "profile": _checked_profile,
    **reasoning.CHECKS,
    **relations.CHECKS,
}
