"""Reasoning in batches: an export holds what can be asked now; the answers to it open the next questions.

A later question depends on earlier answers (a masked link on the proposed one, a score on what was filled in, the
second item's links on the first one's), so a graph takes several rounds of export and import, up to three per event.
All users advance in each round. A round is over cheap: what is answered is read from the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dyngraph.reasoning import ReasoningGraph
from llm_workers.cache import AnswerCache, RecordedAnswerer, cache_key
from llm_workers.protocols import Answer, LlmError, Prompt
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.request import ReasoningRequest


class CollectingAnswerer:
    """Answers from the cache and from nowhere else, and remembers the questions that it could not answer."""

    def __init__(self, cache: AnswerCache, model_id: str) -> None:
        self._recorded = RecordedAnswerer(cache, model_id)
        self._missing: dict[str, Prompt] = {}

    @property
    def model_id(self) -> str:
        """Whose answers are waited for."""
        return self._recorded.model_id

    @property
    def missing(self) -> list[Prompt]:
        """Distinct questions without an answer, for :func:`llm_workers.batches.export_jobs`."""
        return list(self._missing.values())

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError` (``not_recorded``)."""
        try:
            return await self._recorded.answer(prompt)
        except LlmError:
            self._missing.setdefault(cache_key(self.model_id, prompt), prompt)
            raise


@dataclass
class Round:
    """How far a round came."""

    graphs: list[ReasoningGraph] = field(default_factory=list)
    """Of the users whose questions are all answered, in the order of the requests."""
    waiting: list[str] = field(default_factory=list)
    """Users whose next question has no answer yet."""


async def play_round(requests: Iterable[ReasoningRequest], builder: ChainBuilder) -> Round:
    """Take every user as far as recorded answers go; ``builder`` reasons over a :class:`CollectingAnswerer`.

    One after the other, in the order given, with a knowledge base that is empty at the start of each round: so the
    last round, in which nobody waits, is the replay. Raises :class:`LlmError` for anything but a missing answer.
    """
    done = Round()
    for request in requests:
        try:
            done.graphs.append(await builder.graph(request))
        except LlmError as error:
            if error.code != "not_recorded":
                raise
            done.waiting.append(request.user_id)
    return done
