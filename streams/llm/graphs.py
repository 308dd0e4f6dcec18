"""Who makes reasoning graphs under given settings: a chain builder over the catalogue that this worker knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dyngraph.events import Item
from dyngraph.reasoning import ReasoningGraph
from llm_workers.producers.terms import Terms
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.evidence import Weigher
from llm_workers.reasoning.fallback import WithFallback
from llm_workers.reasoning.knowledge import KnowledgeBase
from llm_workers.reasoning.language import LlmReasoner
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.statistical import StatisticalReasoner
from llm_workers.work.making import guarded
from streams.llm.parts import Parts


class GraphMaker:
    """Counts, or asks the language model that makes the profiles and counts where that cannot answer."""

    def __init__(self, parts: Parts, items: Mapping[str, Item], deadline_s: float) -> None:
        self._parts, self._items, self._deadline_s = parts, items, deadline_s
        self._matcher = VectorMatcher(parts.encoder) if parts.encoder is not None else None
        self._language = self._over_language()
        self.use_terms(Terms())

    def use_terms(self, terms: Terms) -> None:
        """Reason with the catalogue counted anew."""
        self._counting = ChainBuilder(StatisticalReasoner(Weigher(terms)), self._items.get, encoder=self._parts.encoder)

    def put_vector(self, item_id: str, vector: bytes | None) -> None:
        """An item's text vector (float16 LE), so that imagined names find it; None: it is gone."""
        if self._matcher is None or self._language is None:
            return
        if vector is None:
            self._matcher.drop(item_id)
        else:
            self._matcher.put(item_id, np.frombuffer(vector, "<f2").astype(np.float32))

    async def make(self, request: ReasoningRequest) -> ReasoningGraph:
        """Raises :class:`llm_workers.protocols.LlmError`."""
        async with guarded("the reasoner", self._deadline_s):
            if self._language is None:
                return await self._counting.graph(request)
            return await WithFallback(self._language, self._counting).graph(request)

    def figures(self) -> dict[str, float]:
        """What reasoning did since the start; see :class:`llm_workers.reasoning.figures.Figures`."""
        return (self._language or self._counting).figures.as_dict()

    def _over_language(self) -> ChainBuilder | None:
        parts = self._parts
        if parts.reasons is None:
            return None
        name, answerer = parts.reasons
        reasoner = LlmReasoner(answerer, parts.cache, name=name)
        knowledge = KnowledgeBase(parts.cache.store, reasoner.model_id, reasoner.prompt_version)
        return ChainBuilder(
            reasoner, self._items.get, matcher=self._matcher, knowledge=knowledge, encoder=parts.encoder
        )
