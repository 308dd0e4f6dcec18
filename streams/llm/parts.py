"""What makes profiles under given settings: a producer, what it falls back to, the cache, and an encoder of texts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from llm_workers.cache import AnswerCache
from llm_workers.config import LlmConfig
from llm_workers.producers.endpoint import LlmProfiles
from llm_workers.producers.statistical import StatisticalProfiles
from llm_workers.producers.terms import Terms
from llm_workers.protocols import Answerer, Facets, LlmError, ProducerName, ProfileProducer, TextEncoder
from llm_workers.vectors.cached import CachedEncoder
from llm_workers.vectors.facets import facet_vectors
from llm_workers.work import WorkConfig
from streams.settings import Settings

if TYPE_CHECKING:
    from llm_workers.client.endpoint import EndpointAnswerer
    from llm_workers.local_model import LocalModel

log = logging.getLogger(__name__)

CACHE_FILE = "answers.sqlite"
MOST_OPEN = 10_000
"""Jobs taken and not finished; what comes after them stays in Kafka."""


def llm_dir(settings: Settings) -> Path:
    """Where an LLM worker of these settings keeps its own state."""
    return settings.state_dir / "llm"


def llm_config(settings: Settings) -> LlmConfig:
    """The LLM settings of a worker: answers are kept in a file of its state folder unless another place is set."""
    cache = settings.llm.cache_path or llm_dir(settings) / CACHE_FILE
    return msgspec.structs.replace(settings.llm, cache_path=cache.expanduser())


def work_config(config: LlmConfig) -> WorkConfig:
    """Bounds of the work, out of what is set of the LLM: as much at once as it may be asked, as long as it may take."""
    return WorkConfig(
        concurrency=config.concurrency,
        most_waiting=MOST_OPEN,
        deadline_s=config.timeout_s * config.attempts + config.longest_wait_s,
    )


def llm_settings(settings: Settings) -> Settings:
    """What an LLM worker runs with."""
    return msgspec.structs.replace(
        settings,
        state_dir=llm_dir(settings),
        group_id=settings.llm_group_id,
        http_port=settings.llm_http_port,
    )


@dataclass
class Parts:
    """What an LLM worker works with."""

    producer: ProfileProducer
    statistical: StatisticalProfiles
    cache: AnswerCache
    encoder: TextEncoder | None
    answerer: EndpointAnswerer | None = None
    model: LocalModel | None = None
    """The language model in this process, where one makes profiles."""
    reasons: tuple[ProducerName, Answerer] | None = None
    """Who is asked to reason, and by what name artefacts tell of it; None where reasons are counted."""

    def use_terms(self, terms: Terms) -> None:
        """Make profiles with the catalogue counted anew."""
        self.statistical.terms = terms
        if self.model is not None:
            from llm_workers.producers.embedded import EmbeddedProfiles

            self.producer = EmbeddedProfiles(terms, self.model)

    def vectors(self, facets: Facets) -> bytes:
        """Float16 LE ``[4, w]``, empty without an encoder. Blocking."""
        return b"" if self.encoder is None else facet_vectors(facets, self.encoder)

    def given_up(self) -> str | None:
        """Why the endpoint will not be asked again before a new start, None while it is."""
        if self.answerer is not None and self.answerer.breaker_state == "broken":
            return "the endpoint refuses the key: set llm.api_key_env or llm.api_key_file right and start again"
        return None

    def describe(self) -> dict[str, object]:
        """JSON-able figures."""
        cache = self.cache.figures()
        asked = cache["hits"] + cache["misses"]
        figures: dict[str, object] = {
            "producer": self.producer.name,
            "encoder": self.encoder.model_id if self.encoder is not None else None,
            "cache": cache | {"hit_rate": round(cache["hits"] / asked, 4) if asked else None},
        }
        if isinstance(self.producer, LlmProfiles):
            figures["profiles"] = self.producer.figures | {"repaired": self.producer.repaired}
        if self.answerer is not None:
            figures["endpoint"] = {"breaker": self.answerer.breaker_state, "usage": self.answerer.figures()}
        return figures

    async def close(self) -> None:
        """Close connections and files."""
        if self.answerer is not None:
            await self.answerer.close()
        self.cache.close()


def build_parts(config: LlmConfig) -> Parts:
    """Put them together. Raises `LlmConfigError` for a setting that is wrong, such as a key that is missing."""
    if config.cache_path is not None:
        config.cache_path.parent.mkdir(parents=True, exist_ok=True)
    parts = _parts(config)
    if config.reasoner == "embedded":
        from llm_workers.local_model import LocalModel
        from llm_workers.producers.embedded import EmbeddedAnswerer

        parts.reasons = "embedded", EmbeddedAnswerer(parts.model or LocalModel())
    elif parts.answerer is not None and config.reasoner != "statistical":
        parts.reasons = "endpoint", parts.answerer
    return parts


def _parts(config: LlmConfig) -> Parts:
    """All but who reasons."""
    cache = AnswerCache(config.cache_path, config.cache_bytes)
    statistical = StatisticalProfiles()
    encoder = text_encoder(config, cache)
    if config.producer == "endpoint":
        from llm_workers.client.endpoint import EndpointAnswerer

        answerer = EndpointAnswerer(config)
        producer = LlmProfiles(answerer, cache, statistical)
        return Parts(producer, statistical, cache, encoder, answerer)
    if config.producer == "embedded":
        from llm_workers.local_model import LocalModel

        parts = Parts(statistical, statistical, cache, encoder, model=LocalModel())
        parts.use_terms(Terms())
        return parts
    return Parts(statistical, statistical, cache, encoder)


class TakingTurns:
    """An encoder that is asked by one thread at a time: profiles and item texts share it."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._turn = threading.Lock()

    @property
    def model_id(self) -> str:
        """Of the encoder behind."""
        return self._encoder.model_id

    @property
    def width(self) -> int:
        """Of the encoder behind."""
        return self._encoder.width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]``; see :class:`llm_workers.protocols.TextEncoder`."""
        with self._turn:
            return self._encoder.encode(texts)


def text_encoder(config: LlmConfig, cache: AnswerCache) -> TextEncoder | None:
    """The encoder that is set; None, with one warning, where its weights are not installed."""
    if config.embeddings_model:
        from llm_workers.client.embeddings import EndpointEncoder

        return TakingTurns(CachedEncoder(EndpointEncoder(config), cache.store))
    try:
        from llm_workers.vectors.minilm import MiniLM

        return TakingTurns(CachedEncoder(MiniLM(), cache.store))
    except LlmError as error:
        log.warning("profiles and items get no text vectors: %s", error)
        return None
