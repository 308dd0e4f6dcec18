"""Reasoning by a language model: an endpoint, the embedded one, or recorded answers."""

from __future__ import annotations

from collections.abc import Sequence, Set

from dyngraph.reasoning import Step
from llm_workers.asking import AskingModel
from llm_workers.cache import AnswerCache
from llm_workers.prompts.chains import VERSION, Told, diverge_prompt, fill_prompt, link_prompt, score_prompt, with_room
from llm_workers.protocols import Answerer, PastItem, ProducerName, Prompt
from llm_workers.reasoning.answers import read_filling, read_links, read_names, read_score
from llm_workers.reasoning.facts import Facts, text_of
from llm_workers.reasoning.protocol import Filled, Idea, Masked, Original, Part, Proposal
from llm_workers.reasoning.settings import MOST_CHAIN, ReasoningSettings

NOT_SHOWN = -2
"""Place of a step that the question did not tell of."""


class LlmReasoner(AskingModel):
    """A :class:`~llm_workers.reasoning.protocol.Reasoner` that asks ``answerer`` what the cache does not know.

    Nothing of the user but the items, and what they said of themselves, is in a question.
    """

    hides: tuple[Part, ...] = ("item", "concept")
    reads_words = True

    def __init__(
        self,
        answerer: Answerer,
        cache: AnswerCache | None = None,
        *,
        name: ProducerName = "endpoint",
        settings: ReasoningSettings | None = None,
    ) -> None:
        super().__init__(answerer, cache, name=name)
        self._settings = settings or ReasoningSettings()
        self.figures = {"asked": 0, "from_cache": 0}
        """Questions, and those that the cache answered."""

    @property
    def prompt_version(self) -> str:
        """Of the four questions together."""
        return VERSION

    async def link(self, facts: Facts, steps: Sequence[Step], item: PastItem) -> list[Proposal]:
        """Raises :class:`~llm_workers.protocols.LlmError`. An item without text costs no call."""
        if not text_of(item):
            return []
        taken = [
            Told(facts.item(step.item_id), place + 1, step.came_from + 1, step.relation, step.concept, step.reason)
            for place, step in enumerate(steps)
        ]
        request, own = facts.request, len(steps) + 1
        told = with_room(taken)
        prompt = link_prompt(told, Told(item, own), request.attributes, owner=request.user_id)
        links = read_links(prompt, await self._answer(prompt)).links
        numbers = {0, own, *(one.number for one in told)}
        return [
            Proposal(
                link.came_from - 1 if link.came_from in numbers else NOT_SHOWN, link.relation, link.concept, link.reason
            )
            for link in links
        ]

    async def diverge(self, facts: Facts, chain: Sequence[Step], barred: Set[str]) -> list[Idea]:
        """Raises :class:`~llm_workers.protocols.LlmError`. A chain without text costs no call."""
        told = self._told(facts, chain)
        if not any(text_of(one.item) for one in told):
            return []
        prompt = diverge_prompt(told, self._settings.ideas, owner=facts.request.user_id)
        names = read_names(prompt, await self._answer(prompt)).items
        return [Idea(name.name, name.relation, name.reason) for name in names]

    async def fill(self, facts: Facts, masked: Masked) -> Filled:
        """Raises :class:`~llm_workers.protocols.LlmError`."""
        link = Told(masked.item or PastItem("", 0), 0, 1, masked.relation, masked.concept)
        prompt = fill_prompt(self._told(facts, masked.path), link, masked.hides, owner=facts.request.user_id)
        return Filled(read_filling(prompt, await self._answer(prompt)).filled)

    async def score(self, facts: Facts, original: Original, filled: Filled) -> float:
        """Raises :class:`~llm_workers.protocols.LlmError`. Equal texts agree without being asked about."""
        if not filled.text or not original.text:
            return 0.0
        if filled.text.casefold() == original.text.casefold():
            return 100.0
        prompt = score_prompt(original.text, filled.text, owner=facts.request.user_id)
        return read_score(prompt, await self._answer(prompt)).score

    def _told(self, facts: Facts, chain: Sequence[Step]) -> list[Told]:
        """The end of a chain."""
        return [
            Told(facts.item(step.item_id), 0, step.came_from + 1, step.relation, step.concept, step.reason)
            for step in chain[-MOST_CHAIN:]
        ]

    async def _answer(self, prompt: Prompt) -> str:
        answer = await self._answerer.answer(prompt)
        self.figures["asked"] += 1
        self.figures["from_cache"] += answer.cached
        return answer.text
