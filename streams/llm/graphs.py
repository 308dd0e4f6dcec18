"""Who makes reasoning graphs under given settings: a chain builder over the catalogue that this worker knows."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from dyngraph.reasoning import ReasoningGraph
from llm_workers.producers.terms import Terms
from llm_workers.protocols import Answerer, ProducerName, Spent, TextEncoder
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.evidence import Weigher
from llm_workers.reasoning.fallback import WithFallback
from llm_workers.reasoning.figures import Figures
from llm_workers.reasoning.knowledge import KnowledgeBase
from llm_workers.reasoning.language import LlmReasoner
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.metering import MeteredAnswerer
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.statistical import StatisticalReasoner
from llm_workers.work.making import guarded
from streams.artefact_messages import ItemVector
from streams.llm.parts import Parts
from streams.llm.users import Said

NOTHING_ASKED = {"fell_back": 0.0, "asked": 0.0, "from_cache": 0.0} | msgspec.structs.asdict(Spent())
"""Figures of what a language model was asked where none is."""


class GraphMaker:
    """Counts, or asks the language model that makes the profiles and counts where that cannot answer."""

    def __init__(self, parts: Parts, items: Mapping[str, Item], deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._figures = Figures()
        self._encoder = parts.encoder
        self._matcher = VectorMatcher(parts.encoder) if parts.encoder is not None else None
        self._unfit_vectors = 0
        self._counting = StatisticalReasoner()
        self.use_terms(Terms())
        self._counted = ChainBuilder(self._counting, items.get, encoder=parts.encoder, figures=self._figures)
        self._asking = (
            _Asking(parts.reasons, parts, items, self._matcher, self._counted, self._figures)
            if parts.reasons is not None
            else None
        )

    def use_terms(self, terms: Terms) -> None:
        """Reason with the catalogue counted anew."""
        self._counting.weigher = Weigher(terms, self._matcher.likeness if self._matcher is not None else None)

    def put_vector(self, item_id: str, vector: ItemVector | None) -> None:
        """An item's text vector, to compare it by and for imagined names to find it; None: it is gone.

        One of another model or width than this worker's encoder says nothing here: it is counted, and drops the one
        before it, which is of an older text.
        """
        if self._encoder is None or self._matcher is None:
            return
        numbers = _fitting(vector, self._encoder) if vector is not None else None
        if numbers is not None:
            self._matcher.put(item_id, numbers)
            return
        self._unfit_vectors += vector is not None
        self._matcher.drop(item_id)

    def put_user(self, user_id: str, said: Said | None) -> None:
        """What a user said of themselves last; None: they are erased."""
        if self._asking is not None:
            self._asking.put_user(user_id, said)

    async def make(self, request: ReasoningRequest) -> ReasoningGraph:
        """Raises :class:`llm_workers.protocols.LlmError`."""
        async with guarded("the reasoner", self._deadline_s):
            return await (self._counted if self._asking is None else self._asking).graph(request)

    def take(self, request: ReasoningRequest) -> Spent:
        """What the user's graph cost: the answers, since it was last taken, that did not come from the cache."""
        return self._asking.metered.take(request.user_id) if self._asking is not None else Spent()

    def figures(self) -> dict[str, float]:
        """What reasoning did since the start (:class:`llm_workers.reasoning.figures.Figures`), and what it cost."""
        asked = self._asking.figures() if self._asking is not None else NOTHING_ASKED
        return self._figures.as_dict() | {"unfit_vectors": float(self._unfit_vectors)} | asked


class _Asking:
    """Graphs by a language model, and by ``counted`` where that never will answer."""

    def __init__(
        self,
        reasons: tuple[ProducerName, Answerer],
        parts: Parts,
        items: Mapping[str, Item],
        matcher: VectorMatcher | None,
        counted: ChainBuilder,
        figures: Figures,
    ) -> None:
        name, answerer = reasons
        self.metered = MeteredAnswerer(answerer)
        self._reasoner = reasoner = LlmReasoner(self.metered, parts.cache, name=name)
        self._knowledge = KnowledgeBase(parts.cache.store, reasoner.model_id, reasoner.prompt_version)
        asking = ChainBuilder(
            reasoner,
            items.get,
            matcher=matcher,
            knowledge=self._knowledge,
            encoder=parts.encoder,
            figures=figures,
        )
        self._producer = WithFallback(asking, counted)
        self._said: dict[str, Said] = {}

    def put_user(self, user_id: str, said: Said | None) -> None:
        if said:
            self._said[user_id] = said
        else:
            self._said.pop(user_id, None)
        if said is None:
            self.metered.take(user_id)

    async def graph(self, request: ReasoningRequest) -> ReasoningGraph:
        if said := self._said.get(request.user_id):
            request = msgspec.structs.replace(request, attributes=said)
        return await self._producer.graph(request)

    def figures(self) -> dict[str, float]:
        spent = msgspec.structs.asdict(self.metered.spent)
        known = {f"knowledge_{name}": float(count) for name, count in self._knowledge.figures.items()}
        return {"fell_back": self._producer.fell_back, **self._reasoner.figures, **spent, **known}


def _fitting(vector: ItemVector, encoder: TextEncoder) -> NDArray[np.float32] | None:
    """The numbers ``[w]`` of a vector that the encoder itself could have made, else None."""
    numbers = np.frombuffer(vector.vector, "<f2").astype(np.float32)
    fits = vector.model_id == encoder.model_id and len(numbers) == encoder.width and np.isfinite(numbers).all()
    return numbers if fits else None
