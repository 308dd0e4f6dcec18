"""Profiles with the help of a small language model in this process.

Left to write, a model of 135 million parameters writes nonsense. What it can do is weigh given words: counting says
what the user took, and the model says which category the user has *not* taken yet goes best with it, by how much
likelier the past makes its name. So it can only ever name terms of the catalogue, whatever stands in a title.
``benchmarks/embedded_profiles.py`` measures what that is worth, ``docs/performance.md`` says it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from llm_workers.local_model import LocalModel
from llm_workers.producers.statistical import MOST_PHRASES, StatisticalProfiles
from llm_workers.producers.terms import Described, Terms, brand_of, category_paths, tidy
from llm_workers.protocols import (
    Answer,
    LlmError,
    PastItem,
    ProducedProfile,
    ProducerName,
    ProfileRequest,
    Prompt,
    Spent,
)

PROMPT_VERSION = "next-category.v1"
ITEMS, WORDS = 8, 6
"""Latest items that the model reads, and words of a title: reading takes it 15 ms a token."""
OFFERED, ADDED = 6, 2
"""Terms of the catalogue that it may choose from, and how many it chooses."""
NOUNS = {"categories": "Category", "brands": "Brand"}


class TermWeigher:
    """Weighs terms by their calibrated likelihood: log p(term | past) - log p(term | no past).

    Without the second part names that are common in English would always win (Holtzman et al., 2021).
    """

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self._plain: dict[tuple[str, str], float] = {}

    def calibrated(self, kind: str, past: Sequence[PastItem], terms: Sequence[str]) -> dict[str, float]:
        """Nats per term; ``kind`` is ``categories`` or ``brands``. Raises :class:`LlmError`."""
        asked = f"Next {NOUNS[kind]}:"
        if missing := [term for term in terms if (kind, term) not in self._plain]:
            found = self.model.likelihoods(asked, missing)
            self._plain.update(zip(((kind, term) for term in missing), found, strict=True))
        given = self.likely(kind, past, terms)
        return {term: given[term] - self._plain[kind, term] for term in terms}

    def likely(self, kind: str, past: Sequence[PastItem], terms: Sequence[str]) -> dict[str, float]:
        """Nats per term, not calibrated. Raises :class:`LlmError`."""
        lines = [
            f"{shortened(item)}. {NOUNS[kind]}: {', '.join(borne(kind, item)) or 'unknown'}" for item in past[-ITEMS:]
        ]
        found = self.model.likelihoods("\n".join([*lines, f"Next {NOUNS[kind]}:"]), terms)
        return dict(zip(terms, found, strict=True))


def shortened(item: PastItem) -> str:
    """The first words of the title."""
    return " ".join(tidy(item.title).split()[:WORDS])


def borne(kind: str, item: Described) -> list[str]:
    """The brand, or the most specific level of each category."""
    if kind == "brands":
        return [brand] if (brand := brand_of(item)) else []
    return list(dict.fromkeys(path[-1] for path in category_paths(item)))


class EmbeddedProfiles:
    """Counted facets, and where there is room up to two categories more that the model finds likely next.

    It never takes a counted phrase away: it weighs those no better than counting does. Where there is no catalogue,
    no room or no model, the counted profile is given, which says ``statistical``.
    """

    name: ProducerName = "embedded"

    def __init__(self, terms: Terms, model: LocalModel | None = None, *, added: int = ADDED) -> None:
        self._counting = StatisticalProfiles(terms)
        self._weigher = TermWeigher(model or LocalModel())
        self._added = added
        self._common = sorted(terms.leaves, key=lambda term: (-terms.leaves[term], term))
        self.fell_back: LlmError | None = None
        """Why the model could not be used, the last time."""

    @property
    def model_id(self) -> str:
        """The language model's."""
        return self._weigher.model.model_id

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        """Never raises for want of a model."""
        counted = await self._counting.profile(request)
        room = MOST_PHRASES - len(counted.facets.categories)
        began = time.perf_counter()
        try:
            chosen = await asyncio.to_thread(self.choose, request.past, min(room, self._added))
        except LlmError as error:
            self.fell_back = error
            return counted
        if not chosen:
            return counted
        facets = msgspec.structs.replace(counted.facets, categories=(*counted.facets.categories, *chosen))
        spent = Spent(seconds=counted.spent.seconds + time.perf_counter() - began)
        return ProducedProfile(facets, self.name, self.model_id, PROMPT_VERSION, spent)

    def choose(self, past: Sequence[PastItem], most: int) -> tuple[str, ...]:
        """Up to ``most`` categories that the user has not met, the likeliest first. Raises :class:`LlmError`."""
        offered = self.offered(past) if most else []
        if len(offered) <= most:
            return ()
        weight = self._weigher.calibrated("categories", past, offered)
        return tuple(sorted(offered, key=lambda term: -weight[term])[:most])

    def offered(self, past: Sequence[PastItem]) -> list[str]:
        """The catalogue's most common categories that tell something and that the past does not hold."""
        met = {level for item in past for path in category_paths(item) for level in path}
        if not met:
            return []
        telling = self._counting.terms.telling
        new = (term for term in self._common if term not in met and telling("categories", term))
        return [term for term, _ in zip(new, range(OFFERED), strict=False)]


class EmbeddedAnswerer:
    """An :class:`~llm_workers.protocols.Answerer` that needs no server: the schema is enforced, the sense is not.

    It proves the plumbing of prompts. For profiles take :class:`EmbeddedProfiles`.
    """

    def __init__(self, model: LocalModel | None = None) -> None:
        self._model = model or LocalModel(context=4096)

    @property
    def model_id(self) -> str:
        """The language model's."""
        return self._model.model_id

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError`; ``invalid_answer`` for one that was cut at ``prompt.max_tokens``."""
        began = time.perf_counter()
        found = await asyncio.to_thread(self._model.chat, prompt.system, prompt.user, prompt.schema, prompt.max_tokens)
        choice, usage = found["choices"][0], found["usage"]
        if choice["finish_reason"] == "length":
            raise LlmError("invalid_answer", f"{self.model_id}: cut at {prompt.max_tokens} tokens", retry=False)
        spent = Spent(usage["prompt_tokens"], usage["completion_tokens"], time.perf_counter() - began)
        return Answer(choice["message"]["content"], self.model_id, spent)
