"""Profiles without a language model: a user's decayed counts of categories, brands and title words.

It is what works with no weights and no network, what the others fall back to, and the control of every ablation.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from llm_workers.producers.terms import Terms, brand_of, category_paths, title_terms
from llm_workers.protocols import Facets, PastItem, ProducedProfile, ProducerName, ProfileRequest, Spent

MOST_PHRASES = 8
"""Phrases per facet."""

MOST_ITEMS = 64
"""Items of a past that are read, the latest: more would cost time and change little, as their weights have decayed."""

ACTIVITY = ((3, "new"), (10, "occasional"), (50, "regular"))
"""A user with fewer events than this is called so; any other ``frequent``."""

Borne = tuple[str, tuple[str, ...]]
"""A term, and the more general ones that it makes needless: a category's ancestors, the words of a pair."""


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
        weight: dict[str, float] = defaultdict(float)
        bearers: dict[str, list[tuple[int, float, tuple[str, ...]]]] = defaultdict(list)
        for place, item in enumerate(past):
            for term, contained in _BORNE[kind](item):
                weight[term] += item.weight
                bearers[term].append((place, item.weight, contained))
        score = {term: weight[term] * self.terms.telling(kind, term) for term in weight}
        spoken_for: set[tuple[int, str]] = set()
        chosen: list[str] = []
        while len(chosen) < most:
            # Of equals the one borne latest, then by name, so that the order of a set never shows.
            best = max(score, key=lambda term: (score[term], bearers[term][-1][0], term), default="")
            if not best or score.pop(best) <= 1e-9:
                break
            chosen.append(best)
            for place, amount, contained in bearers[best]:
                for part in contained:
                    if part in score and (place, part) not in spoken_for:
                        spoken_for.add((place, part))
                        score[part] -= amount * self.terms.telling(kind, part)
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
