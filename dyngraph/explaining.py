"""Reasons, read off from what each source really gave to a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Queries, Source

SHARE = 0.2
"""A source is named if it gave at least this share of what raised the item; the largest one always is."""


class Explanation(NamedTuple):
    """Why an item stands where it stands."""

    source: str
    """The source that raised it most, empty if none did."""
    reasons: list[str]
    """A sentence per source with a real share, largest first."""


def explain(
    sources: Sequence[Source],
    graph: DynamicGraph,
    queries: Queries,
    query: Sequence[int],
    items: Sequence[int],
    contributions: Tensor,
) -> list[Explanation]:
    """Explanations of ``items [n]`` (rows) of the queries at places ``query [n]``, in their order.

    ``contributions [n, F]`` are what each feature gave above what it gave the average candidate, in the order of the
    sources' features. Each source is asked once for all the sentences it owes.
    """
    given, best = _by_source(sources, contributions)
    named: list[list[int]] = []
    for shares in given:
        ordered = sorted((number for number, share in enumerate(shares) if share > 0), key=lambda n: -shares[n])
        least = SHARE * sum(shares)
        named.append([number for place, number in enumerate(ordered) if not place or shares[number] >= least])
    sentences: dict[tuple[int, int], str] = {}
    for number, source in enumerate(sources):
        owed = [place for place, chosen in enumerate(named) if number in chosen]
        causes = [Cause(query[place], items[place], source.features[best[place][number]].name) for place in owed]
        if causes:
            told = source.explain(graph, queries, causes)
            sentences.update(((place, number), sentence) for place, sentence in zip(owed, told, strict=True))
    return [
        Explanation(
            sources[chosen[0]].name if chosen else "",
            [sentence for number in chosen if (sentence := sentences[place, number])],
        )
        for place, chosen in enumerate(named)
    ]


def _by_source(sources: Sequence[Source], contributions: Tensor) -> tuple[list[list[float]], list[list[int]]]:
    """For each item and source: what its features added together, and which of them added most."""
    given, best = [], []
    start = 0
    for source in sources:
        part = contributions[:, start : start + len(source.features)].clamp(min=0)
        start += len(source.features)
        given.append(part.sum(1))
        best.append(part.argmax(1))
    return torch.stack(given, dim=1).tolist(), torch.stack(best, dim=1).tolist()
