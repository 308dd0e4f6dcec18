"""Profiles without a language model: a user's decayed counts of categories, brands and title words.

It is what works with no weights and no network, what the others fall back to, and the control of every ablation.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from llm_workers.producers.terms import Terms, brand_of, category_paths, title_terms
from llm_workers.protocols import Facets, PastItem, ProducedProfile, ProducerName, ProfileRequest, Spent

MOST_PHRASES = 8
"""Phrases per facet."""

MOST_ITEMS = 64
"""Items of a past that are read, the latest: more would cost time and change little, as their weights have decayed."""

ACTIVITY = ((3, "new"), (10, "occasional"), (50, "regular"))
"""A user with fewer events than this is called so; any other ``frequent``."""

NOTHING = 1e-9
"""A score up to this is what rounding left of 0."""

Borne = tuple[str, tuple[str, ...]]
"""A term, and the more general ones that it makes needless: a category's ancestors, the words of a pair."""


class _Bearer(NamedTuple):
    """An item of the past that bears a term."""

    place: int
    weight: float
    contained: tuple[str, ...]


class StatisticalProfiles:
    """Counts, weighed by how telling a term is in the catalogue where its ``terms`` are known."""

    name: ProducerName = "statistical"
    model_id = "counts"
    prompt_version = "counts.v1"

    def __init__(self, terms: Terms | None = None) -> None:
        self.terms = terms or Terms()

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        """Never raises; a past without texts gives empty facets."""
        began = time.perf_counter()
        facets = self.facets(request.past, request.events)
        spent = Spent(seconds=time.perf_counter() - began)
        return ProducedProfile(facets, self.name, self.model_id, self.prompt_version, spent)

    def facets(self, past: Sequence[PastItem], events: int) -> Facets:
        """Facets of a past, oldest item first; ``events`` is how often the user acted in all."""
        past = past[-MOST_ITEMS:]
        return Facets(
            segment=segment(past, events),
            interests=self.ranked("words", past),
            categories=self.ranked("categories", past),
            brands=self.ranked("brands", past),
        )

    def ranked(self, kind: str, past: Sequence[PastItem], most: int = MOST_PHRASES) -> tuple[str, ...]:
        """The best ``most`` terms of a kind (``categories``, ``brands``, ``words``), the best first.

        A term's score is the weight of the items that bear it times how telling it is. A chosen term speaks for its
        items: there, what it contains (``Nails`` of ``Nail Polish``, ``nail`` of ``nail polish``) counts no more.
        """
        telling: dict[str, float] = {}
        bearers: dict[str, list[_Bearer]] = defaultdict(list)
        for place, item in enumerate(past):
            for term, contained in _BORNE[kind](item):
                if term not in telling:
                    telling[term] = self.terms.telling(kind, term)
                if telling[term]:
                    bearers[term].append(_Bearer(place, item.weight, contained))
        score = {term: telling[term] * sum(bearer.weight for bearer in bearers[term]) for term in bearers}

        def standing(term: str) -> tuple[float, int, int, str]:
            """Of equals the more specific, then the one borne latest; the name, so that a set's order never shows."""
            latest = bearers[term][-1]
            return score[term], len(latest.contained), latest.place, term

        spoken_for: set[tuple[int, str]] = set()
        chosen: list[str] = []
        while score and len(chosen) < most:
            best = max(score, key=standing)
            if score.pop(best) <= NOTHING:
                break
            chosen.append(best)
            for bearer in bearers[best]:
                for part in bearer.contained:
                    if part in score and (bearer.place, part) not in spoken_for:
                        spoken_for.add((bearer.place, part))
                        score[part] -= bearer.weight * telling[part]
        return tuple(chosen)


def segment(past: Sequence[PastItem], events: int) -> tuple[str, ...]:
    """A coarse description: up to two top-level categories that hold a quarter of the past, and how active.

    Empty where nothing is known but the number of events.
    """
    weight: dict[str, float] = defaultdict(float)
    for item in past:
        tops = {path[0] for path in category_paths(item)}
        for top in tops:
            weight[top] += item.weight / len(tops)
    total = sum(weight.values())
    tops_by_weight = sorted(weight, key=lambda top: (-weight[top], top))
    broad = [top for top in tops_by_weight[:2] if weight[top] >= total / 4] or tops_by_weight[:1]
    if not broad:
        return ()
    return (*broad, next((name for below, name in ACTIVITY if events < below), "frequent"))


def _categories(item: PastItem) -> Iterable[Borne]:
    levels: dict[str, tuple[str, ...]] = {}
    for path in category_paths(item):
        for depth, level in enumerate(path):
            levels[level] = (*levels.get(level, ()), *(above for above in path[:depth] if above != level))
    return levels.items()


def _brands(item: PastItem) -> Iterator[Borne]:
    if brand := brand_of(item):
        yield brand, ()


_BORNE = {"categories": _categories, "brands": _brands, "words": title_terms}
