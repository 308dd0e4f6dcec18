"""From a request to the next version of a user's reasoning graph.

Each new item is linked to an earlier step, by the knowledge base or else by the reasoner, or opens a chain; links are
taken only if they hold up when a part of them is masked. Steps are only added (up to a bound, the newest kept), so
that going event by event gives the same steps as going at once. Imagined items are made anew with each version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from dyngraph.reasoning import AGAIN, NO_STEP, OPENS, SURE, ReasoningGraph, Step
from llm_workers.protocols import LlmError, PastItem, TextEncoder
from llm_workers.reasoning.evidence import own_concept, sentence
from llm_workers.reasoning.facts import Facts, called, text_of, texts_among
from llm_workers.reasoning.figures import Figures
from llm_workers.reasoning.imagining import Imagination
from llm_workers.reasoning.knowledge import KnowledgeBase, Known
from llm_workers.reasoning.protocol import Matcher, Proposal, Reasoner
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.reasoning.soundness import fault_of, names_somebody
from llm_workers.reasoning.steps import Steps
from llm_workers.reasoning.verifying import Verifier
from llm_workers.requests import Texts


class ChainBuilder:
    """Builds graphs with one reasoner. ``texts`` gives the catalogue's entry of an item.

    ``matcher`` finds the items that imagined names mean (without one they stay pending), ``knowledge`` remembers
    verified links across users, ``encoder`` makes the concepts' vectors (without one there are none). ``figures`` go on
    from those given.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        texts: Texts,
        *,
        settings: ReasoningSettings | None = None,
        matcher: Matcher | None = None,
        knowledge: KnowledgeBase | None = None,
        encoder: TextEncoder | None = None,
        figures: Figures | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.figures = figures or Figures()
        self._reasoner, self._texts, self._knowledge = reasoner, texts, knowledge
        self._settings = settings or ReasoningSettings()
        self._encoder, self._clock = encoder, clock
        self._verifier = Verifier(reasoner, self._settings, self.figures)
        self._imagination = Imagination(reasoner, self._verifier, matcher, knowledge, self._settings, self.figures)

    async def graph(self, request: ReasoningRequest) -> ReasoningGraph:
        """The next version of the user's graph. Raises :class:`LlmError`, but never for an unfit answer alone."""
        facts = Facts(request, self._texts)
        previous = self._trusted(request)
        steps = Steps(previous.steps if previous else (), self._settings.most_steps)
        new = _new_items(request, previous, steps)
        self._count(request.past, new)
        for item in new:
            steps.append(await self._step(facts, steps, item))
            self.figures.steps += 1
        imagined = await self._imagination.extend(facts, steps, previous.imagined if previous else ())
        self.figures.graphs += 1
        concepts = steps.concepts()
        return ReasoningGraph(
            request.user_id,
            request.ts,
            request.offset,
            request.events,
            tuple(steps.all),
            imagined,
            concepts,
            await self._vectors(concepts),
            self._reasoner.name,
            self._reasoner.model_id,
            self._reasoner.prompt_version,
            int(self._clock() * 1000),
        )

    async def _step(self, facts: Facts, steps: Steps, item: PastItem) -> Step:
        """What the item becomes: the same once more, a known link, a proposed one that holds up, or an opening."""
        if (place := steps.place_of(item.item_id)) != NO_STEP:
            reason = f"{called(item)} once more."
            return Step(item.item_id, item.ts, place, AGAIN, steps.all[place].concept, reason, SURE)
        if (known := self._known(facts, steps, item)) is not None:
            place, link = known
            self.figures.known += 1
            reason = sentence(link.relation, link.concept, facts.item(steps.all[place].item_id), item)
            return Step(item.item_id, item.ts, place, link.relation, link.concept, reason, link.score)
        for proposal in await self._proposals(facts, steps, item):
            if proposal.came_from == NO_STEP:
                return self._opening(item, proposal)
            path = steps.path(proposal.came_from)
            among = [*(step.item_id for step in steps.all), item.item_id]
            barred = {step.item_id for step in path}
            score = await self._verifier.score(facts, path, item, proposal.relation, proposal.concept, among, barred)
            if score is not None:
                earlier = facts.item(path[-1].item_id)
                if self._knowledge is not None:
                    link = Known(proposal.relation, proposal.concept, score)
                    self._knowledge.keep(earlier, item, link, facts)
                return Step(
                    item.item_id,
                    item.ts,
                    proposal.came_from,
                    proposal.relation,
                    proposal.concept,
                    proposal.reason,
                    score,
                )
        return self._opening(item)

    def _opening(self, item: PastItem, proposal: Proposal | None = None) -> Step:
        self.figures.opened += 1
        concept = proposal.concept if proposal else own_concept(item)
        reason = proposal.reason if proposal else f"Nothing taken before leads to {called(item)}."
        return Step(item.item_id, item.ts, NO_STEP, OPENS, concept, reason, SURE)

    def _known(self, facts: Facts, steps: Steps, item: PastItem) -> tuple[int, Known] | None:
        """The best verified link to an earlier step, of equals to the newest."""
        if self._knowledge is None or not steps.all:
            return None
        found = self._knowledge.best([facts.item(step.item_id) for step in reversed(steps.all)], item, facts)
        if found is None or found[1].score < self._settings.threshold:
            return None
        return len(steps.all) - 1 - found[0], found[1]

    async def _proposals(self, facts: Facts, steps: Steps, item: PastItem) -> Sequence[Proposal]:
        """Those that can be true: to an earlier step, and without a word about anybody."""
        if not steps.all:
            return ()
        self.figures.calls["link"] += 1
        try:
            proposals = await self._reasoner.link(facts, steps.all, item)
        except LlmError as error:
            if error.code != "invalid_answer":
                raise
            self.figures.invalid_answers += 1
            return ()
        sound = []
        for proposal in proposals[: self._settings.proposals]:
            if proposal.came_from == len(steps.all):
                self.figures.cyclic += 1
            elif not NO_STEP <= proposal.came_from < len(steps.all):
                self.figures.untouched += 1
            elif names_somebody(proposal.relation, proposal.concept, proposal.reason):
                self.figures.other_people += 1
            else:
                sound.append(proposal)
        return sound

    def _trusted(self, request: ReasoningRequest) -> ReasoningGraph | None:
        """The version to be extended, if it can be."""
        previous = request.previous
        if previous is None:
            return None
        future = previous.ts > request.ts or previous.events > request.events
        if previous.user_id != request.user_id or future or fault_of(previous):
            self.figures.previous_refused += 1
            return None
        return previous

    def _count(self, past: Sequence[PastItem], new: Sequence[PastItem]) -> None:
        bearers = texts_among(past)
        for item in new:
            text = text_of(item)
            self.figures.without_text += not text
            self.figures.equal_text += bearers.get(text, 0) > 1

    async def _vectors(self, concepts: Sequence[str]) -> bytes:
        if self._encoder is None or not concepts:
            return b""
        vectors = await asyncio.to_thread(self._encoder.encode, list(concepts))
        return np.ascontiguousarray(vectors, "<f2").tobytes()


def _new_items(request: ReasoningRequest, previous: ReasoningGraph | None, steps: Steps) -> Sequence[PastItem]:
    """The items of the past that the previous version has not seen, oldest first, the newest if there are many."""
    past = list(request.past)
    if previous is not None:
        seen = {(step.item_id, step.ts) for step in previous.steps}
        unseen = request.events - previous.events
        # A late event belongs in too; what is older than all steps was dropped, or never looked at.
        begin = previous.steps[0].ts if previous.steps else previous.ts
        past = [item for item in past if item.ts >= begin and (item.item_id, item.ts) not in seen]
        past = past[-unseen:] if unseen else []
    return past[-steps.most :]
