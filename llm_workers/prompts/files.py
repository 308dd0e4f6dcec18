"""Prompt files: ``<kind>.v<n>.toml`` beside this one, with the schema of the answer in ``<kind>.v<n>.json``."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import msgspec


class PromptFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is the same in all prompts of one version."""

    kind: str
    max_tokens: int
    system: str


class VersionedPrompt(msgspec.Struct, frozen=True):
    """A prompt file with its schema."""

    version: str
    file: PromptFile
    schema: dict[str, Any]


@cache
def load_prompt(version: str) -> VersionedPrompt:
    """The prompt of this version, for example ``profile.v1``. Raises ``ValueError`` for one that does not exist."""
    folder = resources.files(__package__)
    try:
        text = folder.joinpath(f"{version}.toml").read_bytes()
        schema = folder.joinpath(f"{version}.json").read_bytes()
    except OSError:
        known = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
        raise ValueError(f"there is no prompt {version!r}; there are: {', '.join(known)}") from None
    file = msgspec.toml.decode(text, type=PromptFile)
    return VersionedPrompt(
        version, msgspec.structs.replace(file, system=file.system.strip()), msgspec.json.decode(schema, type=dict)
    )
