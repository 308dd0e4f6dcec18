"""Reasoning graphs for a replay: the refresh policy asks after each step, and the answers arrive in log time.

Nothing here knows more than a live LLM worker: a job carries the past, its partners and the graph to go on from, all as
of its horizon, and the new graph counts for later events only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Item
from dyngraph.refreshing import Refresh, Wanted
from evaluation.due_jobs import DueJobs
from evaluation.profiles.stock import TextStock
from llm_workers.producers.terms import Terms
from llm_workers.protocols import LlmError, TextEncoder
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.evidence import Weigher
from llm_workers.reasoning.fallback import GraphProducer
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.request import reasoning_request
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.reasoning.statistical import StatisticalReasoner
from llm_workers.refresh.config import RefreshConfig
from llm_workers.refresh.policy import policy_over
from llm_workers.requests import Texts

EACH_EVENT = RefreshConfig(
    min_events=2, new_events=1, growth=0, max_age_days=100_000, drift=10, jobs_per_1000=1_000, burst=100_000
)
"""A graph for each event of each user who has had two, as the paper has it: counting costs no budget."""


class ReasoningFeed:
    """Brings the graphs of one producer, ``delay_ms`` of log time after their horizon."""

    def __init__(self, policy: Refresh, producer: GraphProducer, delay_ms: int = 0) -> None:
        self.taken = 0
        self.failed: Counter[str] = Counter()
        """By :attr:`LlmError.code`."""
        self.jobs = DueJobs(policy, delay_ms)
        self._producer = producer

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> None:
        """Ask for what is worth renewing after a step, and bring what is due by now."""
        if arrived := self.jobs.after_step(engine, step, offset):
            asyncio.run(self._bring(engine, arrived))

    async def _bring(self, engine: Engine, arrived: Sequence[Wanted]) -> None:
        for wanted in arrived:
            try:
                made = await self._producer.graph(reasoning_request(wanted, engine.graph.catalogue.get))
            except LlmError as error:
                self.failed[error.code] += 1
                continue
            self.taken += engine.graph.reasoning.put(made)


def counting_feed(
    engine: Engine, items: Sequence[Item], text: TextStock, settings: ReasoningSettings | None = None
) -> ReasoningFeed:
    """Graphs by counting, over the engine's own history and partners, for each event."""
    producer = counting_builder(engine.graph.catalogue.get, items, text.encoder, settings)
    return ReasoningFeed(policy_over(EACH_EVENT, engine, "reasoning"), producer)


def counting_builder(
    texts: Texts, items: Sequence[Item], encoder: TextEncoder, settings: ReasoningSettings | None = None
) -> ChainBuilder:
    """The builder that counts, with the catalogue's document frequencies and texts."""
    matcher = VectorMatcher(encoder)
    matcher.add(items)
    reasoner = StatisticalReasoner(Weigher(Terms.of(items), matcher.likeness), settings)
    return ChainBuilder(reasoner, texts, settings=settings, encoder=encoder, clock=lambda: 0.0)
