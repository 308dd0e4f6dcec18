"""What a shard is made of for given settings: one place, so that workers and replays of their journals agree."""

from __future__ import annotations

from models.dynllm import DynLLMConfig
from models.system import SystemConfig
from streams.settings import Settings


def system_config(settings: Settings) -> SystemConfig:
    """The models of a worker. With profiles they hold DynLLM, as wide as the text vectors that are set."""
    if not settings.profiles:
        return SystemConfig(seed=settings.seed)
    width = settings.llm.embeddings_width if settings.llm.embeddings_model else DynLLMConfig().text_dim
    return SystemConfig(seed=settings.seed, dynllm=DynLLMConfig(text_dim=width))
