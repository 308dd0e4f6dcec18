"""What a model wrote, read strictly: found, decoded, cleaned, or asked for again at most twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from llm_workers.extraction import objects_in
from llm_workers.prompts.profile import texts_of
from llm_workers.prompts.quoting import plain
from llm_workers.protocols import Answer, Answerer, Facets, LlmError, Prompt, Spent
from llm_workers.scripts import is_foreign, scripts_of

MOST_PHRASES = 8
LONGEST_PHRASE = 60
"""As the schema of profiles says."""
REPAIRS = 2

rejected: Counter[str] = Counter()
"""Since the process started: phrases dropped, by reason (``foreign_script``, ``too_long``, ``too_many``)."""


class InvalidAnswer(LlmError):
    """An answer that does not fit. Its text says why in words that the model can be given, and quotes nothing."""

    def __init__(self, why: str) -> None:
        super().__init__("invalid_answer", why, retry=False)


class _Profile(msgspec.Struct, forbid_unknown_fields=True):
    segment: list[str]
    interests: list[str]
    categories: list[str]
    brands: list[str]


def read_profile(prompt: Prompt, text: str) -> Facets:
    """The facets in an answer to a profile prompt. Raises :class:`InvalidAnswer`.

    Phrases that are too long, too many, or in a script that the history has none of are dropped and counted.
    """
    answer = _decoded(text)
    scripts = scripts_of(texts_of(prompt))
    facets = Facets(*(_clean(getattr(answer, name), scripts) for name in Facets.__struct_fields__))
    if facets == Facets():
        raise InvalidAnswer("no list holds a usable phrase: give short phrases in the language of the items")
    return facets


def checked(prompt: Prompt, text: str) -> str:
    """The clean form of an answer of any kind, as it is cached. Raises :class:`InvalidAnswer`."""
    return _CHECKS[prompt.kind](prompt, text)


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


def _decoded(text: str) -> _Profile:
    why = "it holds no JSON object"
    for candidate in objects_in(text):
        try:
            return msgspec.convert(candidate, _Profile)
        except msgspec.ValidationError as error:
            # Its words name keys, and an unknown key may be anything: only what we know ourselves is passed on.
            unknown = "unknown field" in str(error)
            why = "it has a key besides segment, interests, categories, brands" if unknown else str(error)
    raise InvalidAnswer(why)


def _clean(phrases: list[str], scripts: frozenset[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for phrase in phrases:
        # One more than allowed: what is too long must show it.
        text = plain(phrase, LONGEST_PHRASE + 1)
        if len(text) > LONGEST_PHRASE:
            rejected["too_long"] += 1
        elif is_foreign(text, scripts):
            rejected["foreign_script"] += 1
        elif text and len(kept) == MOST_PHRASES and text.casefold() not in kept:
            rejected["too_many"] += 1
        elif text:
            kept.setdefault(text.casefold(), text)
    return tuple(kept.values())


def _checked_profile(prompt: Prompt, text: str) -> str:
    return msgspec.json.encode(read_profile(prompt, text)).decode()


def _sum(first: Spent, second: Spent) -> Spent:
    return Spent(*(a + b for a, b in zip(msgspec.structs.astuple(first), msgspec.structs.astuple(second), strict=True)))


_CHECKS: Mapping[str, Callable[[Prompt, str], str]] = {"profile": _checked_profile}
