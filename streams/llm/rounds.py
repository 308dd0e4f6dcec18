"""A round of reasoning in batches: as an LLM worker would reason about the jobs, but from recorded answers alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from llm_workers.cache import AnswerCache
from llm_workers.protocols import Prompt, TextEncoder
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.knowledge import KnowledgeBase
from llm_workers.reasoning.language import LlmReasoner
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.rounds import CollectingAnswerer, play_round
from llm_workers.store import Store

KNOWLEDGE_BYTES = 256 << 20


class Played(NamedTuple):
    """How far the answers go."""

    finished: int
    """Users whose graph needs no further answer."""
    waiting: int
    """Users whose next questions are among ``prompts``."""
    prompts: list[Prompt]
    """The questions that open now."""


def reasoning_round(
    requests: Iterable[ReasoningRequest],
    items: Mapping[str, Item],
    matcher: VectorMatcher | None,
    cache: AnswerCache,
    model: str,
) -> Played:
    """Take each user as far as the answers of ``model`` in ``cache`` go, beginning with an empty knowledge base."""
    collecting = CollectingAnswerer(cache, model)
    reasoner = LlmReasoner(collecting)
    knowledge = KnowledgeBase(Store(None, KNOWLEDGE_BYTES), model, reasoner.prompt_version)
    # Concepts need no vectors here: no question depends on them.
    builder = ChainBuilder(reasoner, items.get, matcher=matcher, knowledge=knowledge)
    done = asyncio.run(play_round(requests, builder))
    return Played(len(done.graphs), len(done.waiting), collecting.missing)


def matcher_over(
    items: Mapping[str, Item], vectors: Mapping[str, NDArray[np.float32]], encoder: TextEncoder
) -> VectorMatcher:
    """Imagined names find the items by their published ``vectors``; the texts of the others are encoded here."""
    matcher = VectorMatcher(encoder)
    for item_id, vector in vectors.items():
        if item_id in items:
            matcher.put(item_id, vector)
    matcher.add(item for item_id, item in items.items() if item_id not in vectors)
    return matcher
