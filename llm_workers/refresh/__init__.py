"""Whose profile is worth an LLM call: decided after each step of a shard, from nothing but its log and side inputs."""

from llm_workers.refresh.config import RefreshConfig
from llm_workers.refresh.policy import RefreshPolicy

__all__ = ["RefreshConfig", "RefreshPolicy"]
