"""Divergent extension: what could come after the newest chains, matched to the catalogue and verified."""

from __future__ import annotations

from collections.abc import Sequence, Set

from dyngraph.reasoning import Imagined
from llm_workers.protocols import LlmError
from llm_workers.reasoning.evidence import own_concept
from llm_workers.reasoning.facts import Facts
from llm_workers.reasoning.figures import Figures
from llm_workers.reasoning.knowledge import KnowledgeBase, Known
from llm_workers.reasoning.protocol import Idea, Match, Matcher, Reasoner
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.reasoning.soundness import names_somebody
from llm_workers.reasoning.steps import Steps
from llm_workers.reasoning.verifying import Verifier


class Imagination:
    """Makes the imagined items of a version."""

    def __init__(
        self,
        reasoner: Reasoner,
        verifier: Verifier,
        matcher: Matcher | None,
        knowledge: KnowledgeBase | None,
        settings: ReasoningSettings,
        figures: Figures,
    ) -> None:
        self._reasoner, self._verifier, self._matcher = reasoner, verifier, matcher
        self._knowledge, self._settings, self._figures = knowledge, settings, figures

    async def extend(self, facts: Facts, steps: Steps, before: Sequence[Imagined]) -> tuple[Imagined, ...]:
        """What could come next, the most credible first; last, names that wait for the catalogue to grow.

        Such names of the version ``before`` are tried again. Raises :class:`LlmError`.
        """
        taken = {step.item_id for step in steps.all} | {item.item_id for item in facts.request.past}
        barred = set() if self._settings.repeats else taken
        ideas: list[tuple[int, Idea]] = []
        ends = steps.ends()[: self._settings.chains]
        for end in ends:
            ideas += [(end, idea) for idea in await self._ideas(facts, steps, end, barred)]
        if ends:
            named = {idea.name.casefold() for _, idea in ideas}
            waiting = [idea for idea in before if not idea.item_id and idea.name.casefold() not in named]
            ideas += [(ends[0], Idea(idea.name, idea.relation, idea.reason)) for idea in waiting]
        matches = await self._matched(facts, [idea for _, idea in ideas], barred)
        found: dict[str, Imagined] = {}
        pending: list[Imagined] = []
        for (end, idea), match in zip(ideas, matches, strict=True):
            if match is None:
                if not idea.item_id:
                    pending.append(Imagined(end, idea.name, "", 0.0, idea.relation, idea.reason, 0.0))
                continue
            imagined = await self._verified(facts, steps, end, idea, match, barred)
            if imagined is None:
                continue
            other = found.get(match.item_id)
            if other is None or imagined.score > other.score:
                found[match.item_id] = imagined
        best = sorted(found.values(), key=lambda one: (-one.score, -one.step, one.item_id))
        kept = (*best[: self._settings.most_imagined], *pending[: self._settings.most_pending])
        self._figures.imagined += len(kept)
        return kept

    async def _ideas(self, facts: Facts, steps: Steps, end: int, barred: Set[str]) -> list[Idea]:
        """Those of one chain that name nobody."""
        self._figures.calls["diverge"] += 1
        try:
            ideas = await self._reasoner.diverge(facts, steps.path(end), barred)
        except LlmError as error:
            if error.code != "invalid_answer":
                raise
            self._figures.invalid_answers += 1
            return []
        sound = [idea for idea in ideas if not names_somebody(idea.name, idea.relation, idea.reason)]
        self._figures.other_people += len(ideas) - len(sound)
        return sound[: self._settings.ideas]

    async def _matched(self, facts: Facts, ideas: Sequence[Idea], barred: Set[str]) -> list[Match | None]:
        """The items that are meant: an id of the catalogue as it is, a name by its text."""
        found: list[Match | None] = [None] * len(ideas)
        names = []
        for at, idea in enumerate(ideas):
            if not idea.item_id:
                names.append(at)
            elif idea.item_id in barred or not facts.exists(idea.item_id):
                self._figures.unavailable += 1
            else:
                found[at] = Match(idea.item_id, 1.0)
        if names and self._matcher is not None:
            matches = await self._matcher.match([ideas[at].name for at in names], barred)
            for at, match in zip(names, matches, strict=True):
                found[at] = match if match is not None and match.item_id not in barred else None
        self._figures.unmatched += sum(found[at] is None for at in names)
        return found

    async def _verified(
        self, facts: Facts, steps: Steps, end: int, idea: Idea, match: Match, barred: Set[str]
    ) -> Imagined | None:
        """The imagined item, if the link to it holds up."""
        path, item = steps.path(end), facts.item(match.item_id)
        score = await self._verifier.score(facts, path, item, idea.relation, "", (), barred)
        if score is None:
            return None
        if self._knowledge is not None:
            known = Known(idea.relation, own_concept(item), score)
            self._knowledge.keep(facts.item(path[-1].item_id), item, known, facts)
        return Imagined(end, idea.name, match.item_id, match.similarity, idea.relation, idea.reason, score)
