"""Self-verification: a part of a link is masked, filled in again, and the two are compared (LLMRG, abductive check)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence, Set

from dyngraph.reasoning import Step
from llm_workers.prompts.chains import MASK
from llm_workers.protocols import LlmError, PastItem
from llm_workers.reasoning.facts import Facts, text_of
from llm_workers.reasoning.figures import Figures
from llm_workers.reasoning.protocol import Filled, Masked, Original, Part, Reasoner
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.reasoning.words import KINDS_OF_REASON, without, words


class Verifier:
    """Scores links; what scores less than the threshold is counted as dropped."""

    def __init__(self, reasoner: Reasoner, settings: ReasoningSettings, figures: Figures) -> None:
        self._reasoner, self._settings, self._figures = reasoner, settings, figures

    async def score(
        self,
        facts: Facts,
        path: Sequence[Step],
        item: PastItem,
        relation: str,
        concept: str,
        among: Sequence[str],
        barred: Set[str],
    ) -> float | None:
        """0 to 100, None below the threshold. ``path`` is the chain that ``item`` would go on from; for ``among`` and
        ``barred`` see :class:`~llm_workers.reasoning.protocol.Masked`.

        Raises :class:`LlmError`; an answer that does not fit its form is worth 0.
        """
        if not self._settings.verify:
            return 100.0
        hides = self._part(path[-1].item_id, item.item_id, concept, text_of(item))
        original = Original(text_of(item), item.item_id) if hides == "item" else Original(concept)
        if self._reasoner.reads_words:
            relation, concept = self._concealed(facts, path, original.text, relation, concept)
        masked = (
            Masked(tuple(path), "item", relation, concept, None, tuple(among), barred)
            if hides == "item"
            else Masked(tuple(path), "concept", relation, "", item, (), barred)
        )
        score = await self._agreement(facts, masked, original)
        score = min(max(score, 0.0), 100.0) if math.isfinite(score) else 0.0
        held_up = score >= self._settings.threshold
        self._figures.verified += held_up
        self._figures.dropped += not held_up
        return score if held_up else None

    def _concealed(self, facts: Facts, path: Sequence[Step], hidden: str, *told: str) -> list[str]:
        """``told`` without the words of ``hidden`` that only it brings: those of the chain, and of any reason, stay."""
        known = words(*(facts.text(step.item_id) for step in path)) | KINDS_OF_REASON
        return [without(text, words(hidden) - known, MASK) for text in told]

    async def _agreement(self, facts: Facts, masked: Masked, original: Original) -> float:
        calls = self._figures.calls
        try:
            calls["fill"] += 1
            filled = await self._reasoner.fill(facts, masked)
            if filled.text and filled.text.casefold() == original.text.casefold():
                filled = Filled(original.text, filled.item_id, filled.ranked)
            calls["score"] += 1
            return await self._reasoner.score(facts, original, filled)
        except LlmError as error:
            if error.code != "invalid_answer":
                raise
            self._figures.invalid_answers += 1
            return 0.0

    def _part(self, earlier: str, later: str, concept: str, text: str) -> Part:
        """What to mask: by chance, but for the same link always the same, so that answers can be recorded."""
        # A concept whose words all stand in the item is no question while the item is shown.
        hidden = {"concept": concept if words(concept) - words(text) else "", "item": text or later}
        possible = [part for part in self._reasoner.hides if hidden[part]]
        if "concept" in possible and not text:
            return "concept"
        chance = hashlib.blake2b(f"{earlier}\0{later}\0{concept}".encode("utf-8", "surrogatepass"), digest_size=2)
        return possible[int.from_bytes(chance.digest(), "little") % len(possible)] if possible else "item"
