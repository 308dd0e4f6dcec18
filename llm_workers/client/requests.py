"""Chat requests as the wire wants them, what to leave out for servers that refuse a part of them, and replies."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llm_workers.protocols import LlmError, Prompt

Format = Literal["json_schema", "json_object", "plain"]

NOT_STRICT = frozenset({"maxLength", "minLength", "$schema"})
"""Keywords that strict servers refuse in a schema; who validates the answer knows them all the same."""

PER_REQUEST = 64
"""Tokens that a server's chat template may add."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class RequestShape(msgspec.Struct, frozen=True):
    """How requests look. Servers differ, and say so with a 400 that names what they refuse."""

    format: Format = "json_schema"
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float | None = 0.0

    def without(self, said: str) -> RequestShape | None:
        """The shape that leaves out what these words name; None if they name nothing that can be left out."""
        if any(word in said for word in ("response_format", "json_schema", "json_object")):
            if self.format == "plain":
                return None
            lower: Format = "json_object" if self.format == "json_schema" else "plain"
            return msgspec.structs.replace(self, format=lower)
        if "max_tokens" in said and self.tokens_field == "max_tokens":
            return msgspec.structs.replace(self, tokens_field="max_completion_tokens")
        if "temperature" in said and self.temperature is not None:
            return msgspec.structs.replace(self, temperature=None)
        return None


def chat_body(model: str, prompt: Prompt, shape: RequestShape) -> dict[str, Any]:
    """The JSON body of a chat request."""
    system = prompt.system
    if shape.format != "json_schema":
        schema = msgspec.json.encode(prompt.schema).decode()
        system += f"\n\nAnswer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}"
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt.user}],
        shape.tokens_field: prompt.max_tokens,
    }
    if shape.temperature is not None:
        body["temperature"] = shape.temperature
    if shape.format == "json_schema":
        form = {"name": prompt.kind, "strict": True, "schema": _strict(prompt.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    elif shape.format == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def most_tokens(prompt: Prompt) -> int:
    """No fewer than a request and its answer can take: a token stands for at least one byte of UTF-8."""
    schema = len(msgspec.json.encode(prompt.schema))
    return len(prompt.system.encode()) + len(prompt.user.encode()) + schema + PER_REQUEST + prompt.max_tokens


def completion_text(reply: Any) -> str:
    """The text of a decoded chat completion. Raises :class:`LlmError` (``invalid_answer``)."""
    try:
        text = msgspec.convert(reply, _Completion).choices[0].message.content
    except (msgspec.ValidationError, IndexError):
        text = None
    if not text:
        raise LlmError("invalid_answer", "the reply is no chat completion with a text", retry=False)
    return text


def _strict(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _strict(part) for name, part in schema.items() if name not in NOT_STRICT}
    return [_strict(part) for part in schema] if isinstance(schema, list) else schema
