"""What can be set of the LLM layer. Nothing here holds a key: it holds the place where one is found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

import msgspec

from llm_workers.protocols import ProducerName

OPENAI_URL = "https://api.openai.com/v1"

MAY_BE_ZERO = (
    *("tokens_per_minute", "usd_per_million_prompt", "usd_per_million_completion", "embeddings_width"),
    *("usd_per_million_embedded", "embeddings_tokens_per_minute"),
)
ABOVE_ZERO = ("timeout_s", "attempts", "longest_wait_s", "concurrency", "failures_to_open", "open_s", "cache_bytes")


class LlmConfigError(ValueError):
    """Raised for a bad setting of the LLM layer; names it, the rule and the fix."""


class LlmConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one LLM worker. Raises :class:`LlmConfigError` (a ``ValidationError`` when decoded)."""

    producer: ProducerName = "statistical"
    """Who makes profiles; the default needs no model, no key and no network."""
    reasoner: Literal["", "endpoint", "embedded", "statistical"] = ""
    """Who makes reasoning graphs. Empty: the endpoint where that makes profiles, else counting: a graph takes several
    answers per event, and the embedded model's are slow and no better than chance."""

    told_attributes: str = "age,age_group,country,gender,interests,language,occupation"
    """Which attributes of a user a model is told, by name, with commas between; no other leaves the house."""

    # --- the endpoint
    base_url: str = OPENAI_URL
    """Of any server that speaks OpenAI's chat completions, with its version part."""
    model: str = ""
    """As the server calls it; part of every cache key."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key."""
    api_key_file: Path | None = None
    """A file that holds nothing but the key; wins over the variable."""
    temperature: float | None = 0.0
    """None: the server's own."""

    # --- patience
    timeout_s: float = 60.0
    """For one whole request, from its start to the last byte of the answer."""
    attempts: int = 4
    """Requests for one answer at most, the first included."""
    longest_wait_s: float = 60.0
    """Who is asked to come back later than this gives up for now and says when to come back."""
    concurrency: int = 4
    """Requests in flight at most."""
    failures_to_open: int = 5
    """Failures in a row after which the endpoint is left alone for ``open_s`` (doubling up to 16 times that)."""
    open_s: float = 30.0

    # --- money
    tokens_per_minute: int = 0
    """Of this worker: share a server's limit out among the workers. 0: no limit."""
    usd_per_million_prompt: float = 0.0
    usd_per_million_completion: float = 0.0

    # --- the cache
    cache_path: Path | None = None
    """An SQLite file that may be shared by processes and passed on; None: in memory, gone with the process."""
    cache_bytes: int = 256 << 20
    """Bound of what is kept; the least recently used goes first."""

    # --- text vectors from the endpoint
    embeddings_model: str = ""
    """Empty: text vectors are made in this process."""
    embeddings_base_url: str = ""
    """Empty: ``base_url``."""
    embeddings_width: int = 0
    """Numbers per vector of that model."""
    embeddings_tokens_per_minute: int = 0
    """0: no limit."""
    usd_per_million_embedded: float = 0.0

    @property
    def told(self) -> frozenset[str]:
        """The names in :attr:`told_attributes`."""
        return frozenset(name.strip() for name in self.told_attributes.split(",")) - {""}

    def __post_init__(self) -> None:
        if self.producer not in get_args(ProducerName):
            raise LlmConfigError(f"producer = {self.producer!r}: is one of {', '.join(get_args(ProducerName))}")
        if self.reasoner and self.reasoner not in get_args(ProducerName):
            raise LlmConfigError(
                f"reasoner = {self.reasoner!r}: is empty or one of {', '.join(get_args(ProducerName))}"
            )
        if self.reasoner == "endpoint" and self.producer != "endpoint":
            raise LlmConfigError("reasoner = 'endpoint': needs producer = 'endpoint' as well; set both")
        for name in (*ABOVE_ZERO, *MAY_BE_ZERO):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (value == 0 and name in ABOVE_ZERO):
                rule = "above 0" if name in ABOVE_ZERO else "0 or more"
                raise LlmConfigError(f"{name} = {value!r}: must be {rule}; the default is {_default(name)!r}")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise LlmConfigError(f"temperature = {self.temperature!r}: must lie in 0 to 2, or be left to the server")
        _check_url("base_url", self.base_url)
        if self.embeddings_base_url:
            _check_url("embeddings_base_url", self.embeddings_base_url)
        if self.producer == "endpoint" and not self.model:
            raise LlmConfigError("model is empty: producer = 'endpoint' needs the model's name, as the server calls it")
        if self.embeddings_model and not self.embeddings_width:
            raise LlmConfigError(
                f"embeddings_width is 0: say how many numbers a vector of {self.embeddings_model!r} has"
            )


def _default(name: str) -> object:
    return LlmConfig.__struct_defaults__[LlmConfig.__struct_fields__.index(name)]


def _check_url(name: str, url: str) -> None:
    """The URL itself is not repeated: it may hold a password, which is what is wrong with it then."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise LlmConfigError(f"{name}: is no URL; give one such as http://localhost:8080/v1")
    if parts.username is not None or parts.password is not None or parts.query:
        raise LlmConfigError(f"{name}: holds a user, password or query; keys go into api_key_env or api_key_file")
