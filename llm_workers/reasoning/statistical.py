"""Reasoning without a language model: links by what is near and what is shared, verified by held-out reconstruction.

It keeps no counts: what is near what comes with the request. So it is fast, needs no weights and no network, and is
the control of every ablation. :mod:`llm_workers.reasoning.bulk` gives the same graphs for whole data sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

from dyngraph.reasoning import Step
from llm_workers.protocols import PastItem, ProducerName
from llm_workers.reasoning.evidence import BRAND, CATEGORY, NEAR, RELATIONS, WEIGHT, Weigher, sentence
from llm_workers.reasoning.facts import Facts, called
from llm_workers.reasoning.protocol import Filled, Idea, Masked, Original, Part, Proposal
from llm_workers.reasoning.settings import MOST_CHAIN, ReasoningSettings

FADE = 0.5
"""Weight of a step of a chain relative to the one after it."""
SHARED = 0.5
"""What a neighbour gains that shares a concept with the chain, as a share of what it has."""
KINDS = {name: kind for kind, name in enumerate(RELATIONS)}


class StatisticalReasoner:
    """A :class:`~llm_workers.reasoning.protocol.Reasoner` that counts; never raises."""

    name: ProducerName = "statistical"
    model_id = "evidence"
    prompt_version = "evidence.v1"
    hides: tuple[Part, ...] = ("item",)
    reads_words = False
    """Relations are kinds of evidence, concepts terms of the catalogue: :meth:`fill` says what is left out of each."""

    def __init__(self, weigher: Weigher | None = None, settings: ReasoningSettings | None = None) -> None:
        self.weigher = weigher or Weigher()
        """Replaced when the catalogue was counted anew."""
        self._settings = settings or ReasoningSettings()

    async def link(self, facts: Facts, steps: Sequence[Step], item: PastItem) -> list[Proposal]:
        """To each step by the strongest thing that speaks for it; of equals to the newest."""
        found = []
        for place, step in enumerate(steps):
            earlier = facts.item(step.item_id)
            if evidence := self.weigher.all_for(facts, earlier, item):
                best = max(evidence, key=lambda one: (one.value, -one.kind))
                found.append((best.value, place, best, earlier))
        found.sort(key=lambda one: (-one[0], -one[1]))
        return [
            self._proposal(place, best.kind, best.relation, earlier, item)
            for _, place, best, earlier in found[: self._settings.proposals]
        ]

    async def diverge(self, facts: Facts, chain: Sequence[Step], barred: Set[str]) -> list[Idea]:
        """Neighbours of the chain's last items, those that share its concepts before others."""
        concepts = {step.concept for step in chain[-MOST_CHAIN:] if step.concept}
        value: dict[str, float] = {}
        relation: dict[str, tuple[str, str]] = {}
        for distance, step in enumerate(reversed(chain[-MOST_CHAIN:])):
            for other, near in facts.near(step.item_id).items():
                if other in barred or near.strength <= 0:
                    continue
                gain = FADE**distance * WEIGHT[NEAR] * math.sqrt(min(near.strength, 1.0))
                value[other] = value.get(other, 0.0) + gain
                relation.setdefault(other, (near.relation, step.item_id))
        for other in value:
            if concepts & self._terms_of(facts.item(other)):
                value[other] *= 1 + SHARED
        best = sorted(value, key=lambda other: (-value[other], other))[: self._settings.ideas]
        return [self._idea(facts, other, *relation[other]) for other in best]

    async def fill(self, facts: Facts, masked: Masked) -> Filled:
        """The item that the rest of the chain speaks for most, without what the masked link itself rests on.

        Weighed are the neighbours of the chain's items and the user's own; the chain's step at distance d counts
        ``FADE^d``. Left out, of every item alike, is the kind of evidence of the masked link between its two ends; an
        item that bears the link's concept, which is not masked, gains by it.
        """
        path = masked.path[-MOST_CHAIN:][::-1]
        own = KINDS.get(masked.relation, NEAR)
        candidates = {other for step in path for other, near in facts.near(step.item_id).items() if near.strength > 0}
        candidates = (candidates | set(masked.among)) - masked.barred
        value = {}
        for other in candidates:
            item = facts.item(other)
            value[other] = sum(
                FADE**distance * one.value
                for distance, step in enumerate(path)
                for one in self.weigher.all_for(facts, facts.item(step.item_id), item)
                if distance or one.kind != own
            )
            if masked.concept in self._terms_of(item):
                value[other] += WEIGHT[CATEGORY] * self.weigher.concept_value(masked.concept)
        ranked = tuple(sorted((other for other in value if value[other] > 0), key=lambda other: (-value[other], other)))
        return Filled(facts.text(ranked[0]) if ranked else "", ranked[0] if ranked else "", ranked)

    async def score(self, facts: Facts, original: Original, filled: Filled) -> float:
        """100 for the same item or text; else half for how alike they are, half for how far up the original came: at
        place p of n candidates ``1 - ln p / ln (n + 1)``.
        """
        if not filled.item_id:
            return 0.0
        if filled.item_id == original.item_id or (original.text and filled.text == original.text):
            return 100.0
        alike = self.weigher.likeness(facts.item(original.item_id), facts.item(filled.item_id))
        if original.item_id not in filled.ranked:
            return 50 * alike
        place = filled.ranked.index(original.item_id) + 1
        return 50 * alike + 50 * (1 - math.log(place) / math.log(len(filled.ranked) + 1))

    def _proposal(self, place: int, kind: int, relation: str, earlier: PastItem, item: PastItem) -> Proposal:
        concept = self.weigher.attributes(item).brand if kind == BRAND else self.weigher.concept(earlier, item)
        return Proposal(place, relation, concept, sentence(relation, concept, earlier, item))

    def _idea(self, facts: Facts, other: str, relation: str, after: str) -> Idea:
        item = facts.item(other)
        return Idea(called(item), relation, sentence(relation, "", facts.item(after), item), other)

    def _terms_of(self, item: PastItem) -> set[str]:
        attributes = self.weigher.attributes(item)
        return {attributes.brand, *attributes.categories} - {""}
