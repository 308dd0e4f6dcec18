"""Bytes to messages and back, with a stable code for everything that can be wrong with a record.

The codes are published (they are what `dead-letters` carries and what operators alert on), so they are part
of the contract; the sentences beside them are not. The good way is one typed decode, about a microsecond; all
diagnosis happens after a failure.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from dyngraph.event_id import derive_event_id, digest_of
from dyngraph.events import EventType, Interaction
from streams.messages import SCHEMA_VERSION, EventName, InteractionMessage, Message

MAX_VALUE_BYTES: Final = 64 * 1024  # one event or catalogue entry; anything larger is no interaction

NULL_VALUE: Final = "null_value"
NULL_KEY: Final = "null_key"
NOT_JSON: Final = "not_json"
NOT_UTF8: Final = "not_utf8"
MISSING_FIELD: Final = "missing_field"
WRONG_TYPE: Final = "wrong_type"
OUT_OF_BOUNDS: Final = "out_of_bounds"
UNKNOWN_EVENT_TYPE: Final = "unknown_event_type"
UNKNOWN_SCHEMA_VERSION: Final = "unknown_schema_version"
TOO_LARGE: Final = "too_large"
KEY_MISMATCH: Final = "key_mismatch"

CODES: Final = (
    NULL_VALUE,
    NULL_KEY,
    NOT_JSON,
    NOT_UTF8,
    MISSING_FIELD,
    WRONG_TYPE,
    OUT_OF_BOUNDS,
    UNKNOWN_EVENT_TYPE,
    UNKNOWN_SCHEMA_VERSION,
    TOO_LARGE,
    KEY_MISMATCH,
)

M = TypeVar("M", bound=Message)


class BadMessage(ValueError):
    """A record that breaks a rule. `code` is one of `CODES`, the text names the input, the rule and the fix.

    `interaction` is the decoded value where only the key was wrong (`null_key`, `key_mismatch`): enough to
    forward the record to the partition it belongs to.
    """

    def __init__(self, code: str, message: str, interaction: InteractionMessage | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.interaction = interaction


class _VersionOnly(msgspec.Struct):
    schema_version: Any = SCHEMA_VERSION


_encoder = msgspec.json.Encoder()
_version_only = msgspec.json.Decoder(_VersionOnly)
_interaction = msgspec.json.Decoder(InteractionMessage)
_decoders: dict[type[Message], msgspec.json.Decoder[Any]] = {InteractionMessage: _interaction}

_EVENT_TYPES: Final[dict[EventName, EventType]] = {
    "view": EventType.VIEW,
    "click": EventType.CLICK,
    "cart": EventType.CART,
    "purchase": EventType.PURCHASE,
    "rating": EventType.RATING,
    "like": EventType.LIKE,
    "dislike": EventType.DISLIKE,
    "remove": EventType.REMOVE,
    "impression": EventType.IMPRESSION,
}


def encode(message: msgspec.Struct) -> bytes:
    """JSON bytes (UTF-8) of a message."""
    return _encoder.encode(message)


def decode(kind: type[M], value: bytes | None, *, max_bytes: int = MAX_VALUE_BYTES) -> M:
    """Decode the value of one record of type `kind`. Raises `BadMessage`."""
    if value is None:
        raise BadMessage(NULL_VALUE, f"the value is null, a {kind.__name__} was expected: send a JSON object")
    if len(value) > max_bytes:
        raise BadMessage(
            TOO_LARGE, f"the value is {len(value):,} bytes, more than {max_bytes:,}: send a smaller record"
        )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        message: M = decoder.decode(value)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise _diagnose(kind, value, error) from None
    return message


def decode_interaction(value: bytes | None, key: bytes | None) -> InteractionMessage:
    """Decode a record of `interactions` and hold its key to `user_id`. Raises `BadMessage`."""
    if value is None or len(value) > MAX_VALUE_BYTES:
        return decode(InteractionMessage, value)  # raises
    try:
        message = _interaction.decode(value)
    except (ValueError, RecursionError) as error:
        raise _diagnose(InteractionMessage, value, error) from None
    user_key = message.user_id.encode()
    if key != user_key:
        if key is None:
            code, found = NULL_KEY, "the key is null"
        else:
            code, found = KEY_MISMATCH, f"the key {key[:80]!r} is not the user {message.user_id[:80]!r}"
        raise BadMessage(code, f"{found}: set the record key to user_id (UTF-8 bytes)", message)
    return message


def _diagnose(kind: type[Message], value: bytes, error: Exception) -> BadMessage:
    """Turn a decoder's error into a code; the version goes first, as other versions may differ anywhere."""
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return BadMessage(NOT_UTF8, f"the value is not UTF-8 ({text}): encode JSON as UTF-8")
    if isinstance(error, RecursionError) or not isinstance(error, msgspec.ValidationError):
        return BadMessage(NOT_JSON, f"the value is not one JSON object ({text}): check the producer's serializer")
    version = _peek_version(value)
    if version != SCHEMA_VERSION and version is not None:
        return BadMessage(
            UNKNOWN_SCHEMA_VERSION,
            f"schema_version {version} is unknown, this build reads {SCHEMA_VERSION}: "
            "upgrade the worker or the producer",
        )
    where = f"{kind.__name__}: {text}"
    if "missing required field" in text:
        return BadMessage(MISSING_FIELD, f"{where}: add the field")
    if text.startswith("Invalid enum value"):
        code = UNKNOWN_EVENT_TYPE if text.endswith("`$.event_type`") else OUT_OF_BOUNDS
        allowed = ", ".join(_EVENT_TYPES) if code == UNKNOWN_EVENT_TYPE else "see `evergraph topics schema`"
        return BadMessage(code, f"{where}; allowed: {allowed}")
    # msgspec says "Expected `int` <= 9", "Expected `str` of length >= 1" for bounds and "Expected `int`, got
    # `str`" for types.
    if "`, got `" in text:
        return BadMessage(WRONG_TYPE, f"{where}: send the type of the schema (`evergraph topics schema`)")
    return BadMessage(OUT_OF_BOUNDS, f"{where}: send a value within the bounds (`evergraph topics schema`)")


def _peek_version(value: bytes) -> int | None:
    """The record's schema_version if it is a whole number; None where that cannot be told."""
    try:
        version = _version_only.decode(value).schema_version
    except (ValueError, RecursionError):
        return None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def to_interaction(message: InteractionMessage) -> Interaction:
    """The graph's own event; a missing `event_id` is derived."""
    return Interaction(
        event_id=message.event_id
        or derive_event_id(message.user_id, message.item_id, message.event_type, message.ts_ms),
        user_id=message.user_id,
        item_id=message.item_id,
        event_type=_EVENT_TYPES[message.event_type],
        ts=message.ts_ms,
        value=message.value,
    )


def to_message(interaction: Interaction) -> InteractionMessage:
    """The message of a graph event. A derived id is left out: it can be derived again."""
    label: Any = interaction.event_type.label
    derived = derive_event_id(interaction.user_id, interaction.item_id, label, interaction.ts)
    return InteractionMessage(
        user_id=interaction.user_id,
        item_id=interaction.item_id,
        event_type=label,
        ts_ms=interaction.ts,
        event_id=None if interaction.event_id == derived else interaction.event_id,
        value=interaction.value,
    )


def list_id(user_id: str, partition: int, offset: int, variant: str, request_id: str | None = None) -> str:
    """32 hex digits naming the list made for a user after an offset; the same at every repeat."""
    parts = (user_id, str(partition), str(offset), variant)
    return digest_of(*parts) if request_id is None else digest_of(*parts, request_id)


def job_id(kind: str, entity_id: str, partition: int, offset: int) -> str:
    """32 hex digits naming the job for an entity at a horizon; the same at every repeat."""
    return digest_of("llm-job", kind, entity_id, str(partition), str(offset))


def dead_letter_id(topic: str, partition: int, offset: int) -> str:
    """The place a record came from, the same at every repeat: `topic/partition/offset`."""
    return f"{topic}/{partition}/{offset}"
