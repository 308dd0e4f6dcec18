"""What users said of themselves, as far as a question about them has room for it."""

from __future__ import annotations

from collections.abc import Set

import msgspec

from llm_workers.prompts.chains import MOST_ATTRIBUTES, PHRASE
from llm_workers.prompts.quoting import plain
from llm_workers.reasoning.soundness import names_somebody
from streams.codec import BadMessage, decode
from streams.consumer import latest_by_key, read_to_end
from streams.messages import Scalar, UserMessage
from streams.settings import Settings

Said = tuple[tuple[str, str], ...]
"""Names and values."""


def said_in(value: bytes, told: Set[str]) -> Said | None:
    """The attributes in a record of `users` whose names are in `told`, but for what names a person; None for a record
    that breaks a rule.
    """
    try:
        attributes = decode(UserMessage, value).attributes
    except BadMessage:
        return None  # a graph worker tells of it
    whole = ((name, _text(scalar)) for name, scalar in attributes.items() if name in told)
    said = ((plain(name, PHRASE), plain(text, PHRASE)) for name, text in whole if not names_somebody(name, text))
    return tuple(pair for pair in said if all(pair))[:MOST_ATTRIBUTES]


def said_of_users(broker: str, settings: Settings) -> dict[str, Said]:
    """By user, what they said of themselves last: batches ask the same as a worker."""
    newest = latest_by_key(read_to_end(broker, settings.topic("users")))
    found = ((key.decode(errors="replace"), said_in(value, settings.llm.told)) for key, value in newest.items())
    return {user_id: said for user_id, said in found if said}


def _text(scalar: Scalar) -> str:
    if scalar is None or isinstance(scalar, str):
        return scalar or ""
    return f"{scalar:g}" if isinstance(scalar, float) else msgspec.json.encode(scalar).decode()
