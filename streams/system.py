"""What a shard is made of for given settings: one place, so that workers and replays of their journals agree."""

from __future__ import annotations

from dyngraph.engine import Engine
from llm_workers.refresh.config import RefreshConfig
from llm_workers.refresh.policy import RefreshPolicy
from models.dynllm import DynLLMConfig
from models.sources.history import HistorySource
from models.system import SystemConfig
from streams.settings import Settings


def system_config(settings: Settings) -> SystemConfig:
    """The models of a worker. With profiles they hold DynLLM, as wide as the text vectors that are set."""
    if not settings.profiles:
        return SystemConfig(seed=settings.seed)
    width = settings.llm.embeddings_width if settings.llm.embeddings_model else DynLLMConfig().text_dim
    return SystemConfig(seed=settings.seed, dynllm=DynLLMConfig(text_dim=width))


def refresh_policy(config: RefreshConfig, engine: Engine) -> RefreshPolicy:
    """The policy over an engine of ours. Raises TypeError where the engine's history is of another kind."""
    if not isinstance(engine.habits, HistorySource):
        raise TypeError(f"the refresh policy reads a HistorySource, the engine has a {type(engine.habits).__name__}")
    return RefreshPolicy(config, engine.habits)
