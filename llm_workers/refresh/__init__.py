"""Whose profile is worth an LLM call: decided after each step of a shard, from nothing but its log and side inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_workers.refresh.config import RefreshConfig

if TYPE_CHECKING:
    from llm_workers.refresh.policy import RefreshPolicy

__all__ = ["RefreshConfig", "RefreshPolicy"]


def __getattr__(name: str) -> Any:
    # Settings name the config, and everybody reads settings; only a worker pays for torch, which the policy needs.
    if name == "RefreshPolicy":
        from llm_workers.refresh.policy import RefreshPolicy

        return RefreshPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
