"""What a shard is made of for given settings: one place, so that workers and replays of their journals agree."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dyngraph.engine import Engine
from dyngraph.refreshing import Refresh
from models.dynllm import DynLLMConfig
from models.llmrg.stream import StreamChainsConfig
from models.lrd.stream_config import StreamLrdConfig
from models.system import SystemConfig
from streams.settings import Settings


def system_config(settings: Settings) -> SystemConfig:
    """The models of a worker, as wide as the text vectors that are set."""
    width = settings.llm.embeddings_width if settings.llm.embeddings_model else DynLLMConfig().text_dim
    relations = StreamLrdConfig()
    method = msgspec.structs.replace(relations.method, text_dim=width)
    return SystemConfig(
        seed=settings.seed,
        dynllm=DynLLMConfig(text_dim=width) if settings.profiles else None,
        chains=StreamChainsConfig(text_dim=width) if settings.reasoning else None,
        relations=msgspec.structs.replace(relations, method=method) if settings.relations else None,
    )


def refresh_of(settings: Settings) -> Callable[[Engine], Refresh] | None:
    """What makes an engine's refresh policies, None where nothing is asked for."""
    if not (settings.profiles or settings.reasoning):
        return None

    def made(engine: Engine) -> Refresh:
        # Policies look at numpy and torch; who only reads settings need not.
        from llm_workers.refresh.policy import policy_over
        from llm_workers.refresh.several import Policies

        policies = {}
        if settings.profiles:
            policies["profile"] = policy_over(settings.refresh, engine)
        if settings.reasoning:
            policies["reasoning"] = policy_over(settings.reasoning_refresh, engine, "reasoning")
        return Policies(policies)

    return made
