"""The nouns of the LLM layer, and the protocols that its parts meet at.

Two levels. An :class:`Answerer` turns a prompt into text that fits a schema: an endpoint, a model in this process, or
recorded answers. A :class:`ProfileProducer` turns a user's history into profile facets: through an answerer, or by
counting. Later artefacts (relations, reasoning) add producers of their own over the same answerers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ProducerName = Literal["endpoint", "embedded", "statistical"]


class LlmError(RuntimeError):
    """An answer could not be had, or cannot be used. ``retry`` tells whether asking again later makes sense."""

    def __init__(self, code: str, message: str, *, retry: bool, after_s: float | None = None) -> None:
        super().__init__(message)
        self.code, self.retry, self.after_s = code, retry, after_s
        """``code`` is short and stable (``unauthorised``, ``rate_limited``, ``timeout``, ``unavailable``,
        ``invalid_answer``, ``not_recorded``, ``over_budget``); ``after_s`` is what the server asked to wait."""


class PastItem(msgspec.Struct, frozen=True, array_like=True):
    """One item of a user's past, as a producer sees it. Texts are data from outside: quote them, bound them."""

    item_id: str
    ts: int
    """The user's last event with it, ms."""
    weight: float = 1.0
    """The user's decayed count of events with it."""
    title: str = ""
    brand: str = ""
    categories: tuple[str, ...] = ()


class ProfileRequest(msgspec.Struct, frozen=True):
    """Make a profile of this user from this past, and nothing else."""

    user_id: str
    ts: int
    """Horizon: event time, ms, of the newest event in ``past``."""
    offset: int
    """Horizon: its offset in the log of the user's partition, -1 where there is no log."""
    events: int
    """The user's events up to the horizon; ``past`` may hold fewer items."""
    past: tuple[PastItem, ...]
    """Recent and telling items, oldest first, bounded."""


class Facets(msgspec.Struct, frozen=True):
    """Short phrases, the most telling first. Field order is that of :data:`dyngraph.profiles.FACETS`."""

    segment: tuple[str, ...] = ()
    interests: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()


class Spent(msgspec.Struct, frozen=True):
    """What an answer took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    usd: float = 0.0


class ProducedProfile(msgspec.Struct, frozen=True):
    """What a producer gives, with the one who really made it (a fallback says so)."""

    facets: Facets
    producer: ProducerName
    model_id: str
    prompt_version: str
    spent: Spent = Spent()
    cached: bool = False


class ProfileProducer(Protocol):
    """Makes profiles."""

    @property
    def name(self) -> ProducerName:
        """How artefacts name it."""
        ...

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        """Raises :class:`LlmError`."""
        ...


class Prompt(msgspec.Struct, frozen=True):
    """One question to a language model, with the schema that its answer must fit."""

    kind: str
    """Artefact kind: ``profile``, later others."""
    version: str
    """Of the prompt file, for example ``profile.v1``."""
    system: str
    user: str
    schema: dict[str, Any]
    max_tokens: int
    owner: str = ""
    """The user it is about, so that an erasure finds cached answers; no part of the cache key or of the request."""


class Answer(msgspec.Struct, frozen=True):
    """Text that is said to fit the prompt's schema; whoever asked validates it."""

    text: str
    model_id: str
    spent: Spent = Spent()
    cached: bool = False


class Answerer(Protocol):
    """Answers prompts."""

    @property
    def model_id(self) -> str:
        """Part of every cache key."""
        ...

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError`."""
        ...


class TextEncoder(Protocol):
    """Turns texts into vectors; blocking."""

    @property
    def model_id(self) -> str:
        """Which model, part of every cache key."""
        ...

    @property
    def width(self) -> int:
        """Numbers per vector."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1; zeros for an empty text."""
        ...
