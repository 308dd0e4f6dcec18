"""Reading what a language model wrote, whatever was asked: found, decoded strictly, its texts cleaned."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

import msgspec

from llm_workers.extraction import objects_in
from llm_workers.prompts.quoting import plain
from llm_workers.protocols import LlmError
from llm_workers.scripts import is_foreign

LONGEST_PHRASE = 60
"""Characters of a phrase, as the schemas say."""

rejected: Counter[str] = Counter()
"""Since the process started: texts dropped, by reason (``foreign_script``, ``too_long``, ``too_many``)."""

T = TypeVar("T", bound=msgspec.Struct)


class InvalidAnswer(LlmError):
    """An answer that does not fit. Its text says why in words that the model can be given, and quotes nothing."""

    def __init__(self, why: str) -> None:
        super().__init__("invalid_answer", why, retry=False)


def decoded(text: str, form: type[T]) -> T:
    """The first object in ``text`` that is a ``form``, which must forbid unknown fields. Raises InvalidAnswer."""
    why = "it holds no JSON object"
    for candidate in objects_in(text):
        try:
            return msgspec.convert(candidate, form)
        except msgspec.ValidationError as error:
            # Its words name keys, and an unknown key may be anything: only what we know ourselves is passed on.
            unknown = "unknown field" in str(error)
            why = f"it has a key besides {', '.join(known_keys(form))}" if unknown else str(error)
    raise InvalidAnswer(why)


def known_keys(form: type[msgspec.Struct]) -> list[str]:
    """The keys of a form and of the forms in it, from the outside in."""
    names: list[str] = []
    waiting = [form]
    while waiting:
        for field in msgspec.structs.fields(waiting.pop(0)):
            names.append(field.encode_name)
            waiting += [part for part in getattr(field.type, "__args__", ()) if _is_form(part)]
    return names


def cleaned(text: str, longest: int, scripts: frozenset[str]) -> str:
    """One line of visible text; empty, and counted, if it is longer than allowed or foreign to ``scripts``."""
    # One more than allowed: what is too long must show it.
    line = plain(text, longest + 1)
    if len(line) > longest:
        rejected["too_long"] += 1
    elif is_foreign(line, scripts):
        rejected["foreign_script"] += 1
    else:
        return line
    return ""


def _is_form(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, msgspec.Struct)
