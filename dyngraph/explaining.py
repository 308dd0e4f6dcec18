"""Reasons, read off from what each source really gave to a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Queries, Signal, Source

SHARE = 0.2
"""A source is named if it gave at least this share of what raised the item; the largest one always is."""


class Explanation(NamedTuple):
    """Why an item stands where it stands."""

    source: str
    """The source that raised it most, empty if none did."""
    reasons: list[str]
    """A sentence per source with a real share, largest first."""


class Explained(NamedTuple):
    """An item to be explained."""

    query: int
    """Place of its query."""
    item: int
    """Item row."""
    contributions: Sequence[float]
    """What each feature gave, in the order of the sources' features."""


def explain(
    sources: Sequence[Source], graph: DynamicGraph, queries: Queries, items: Sequence[Explained]
) -> list[Explanation]:
    """Explanations of ``items``, in their order. Each source is asked once for all the sentences it owes."""
    answers: list[Explanation] = []
    causes: dict[str, list[Cause]] = {source.name: [] for source in sources}
    owed: dict[str, list[tuple[int, int]]] = {source.name: [] for source in sources}
    raising = [
        (source.name, feature.name, feature.signal is Signal.RAISES)
        for source in sources
        for feature in source.features
    ]
    for number, (query, item, contributions) in enumerate(items):
        shares: dict[str, float] = {}
        best: dict[str, tuple[float, str]] = {}
        for (source, feature, raises), value in zip(raising, contributions, strict=True):
            if raises and value > 0:
                shares[source] = shares.get(source, 0.0) + value
                best[source] = max(best.get(source, (0.0, "")), (value, feature))
        ordered = sorted(shares, key=lambda source: -shares[source])
        least = SHARE * sum(shares.values())
        named = [source for place, source in enumerate(ordered) if not place or shares[source] >= least]
        for place, source in enumerate(named):
            causes[source].append(Cause(int(query), item, best[source][1]))
            owed[source].append((number, place))
        answers.append(Explanation(ordered[0] if ordered else "", [""] * len(named)))
    for source_ in sources:
        if not causes[source_.name]:
            continue
        sentences = source_.explain(graph, queries, causes[source_.name])
        for (number, place), sentence in zip(owed[source_.name], sentences, strict=True):
            answers[number].reasons[place] = sentence
    return [Explanation(answer.source, [reason for reason in answer.reasons if reason]) for answer in answers]
