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
    given: Tensor,
    above: Tensor,
) -> list[Explanation]:
    """Explanations of ``items [n]`` (rows) of the queries at places ``query [n]``, in their order.

    ``given [n, F]`` are what each feature gave to the score, ``above [n, F]`` how much more than to the average
    candidate, in the order of the sources' features. A source that took away is no reason, however much more it took
    from others; where none is left, what it gave at all counts. Each source is asked once for all it owes.
    """
    told, best = _by_source(sources, given, above)
    named: list[list[int]] = []
    for shares in told:
        ordered = sorted((number for number, share in enumerate(shares) if share > 0), key=lambda n: -shares[n])
        least = SHARE * sum(shares)
        named.append([number for place, number in enumerate(ordered) if not place or shares[number] >= least])
    sentences: dict[tuple[int, int], str] = {}
    for number, source in enumerate(sources):
        owed = [place for place, chosen in enumerate(named) if number in chosen]
        causes = [Cause(query[place], items[place], source.features[best[place][number]].name) for place in owed]
        if causes:
            said = source.explain(graph, queries, causes)
            sentences.update(((place, number), sentence) for place, sentence in zip(owed, said, strict=True))
    return [
        Explanation(
            sources[chosen[0]].name if chosen else "",
            [sentence for number in chosen if (sentence := sentences[place, number])],
        )
        for place, chosen in enumerate(named)
    ]


def _by_source(sources: Sequence[Source], given: Tensor, above: Tensor) -> tuple[list[list[float]], list[list[int]]]:
    """For each item and source: by how much its features together raised the item, and which of them most."""
    whole, more, best = [], [], []
    start = 0
    for source in sources:
        part = slice(start, start := start + len(source.features))
        whole.append(given[:, part].sum(1).clamp(min=0))
        more.append(above[:, part].sum(1).clamp(min=0))
        best.append(above[:, part].masked_fill(given[:, part] <= 0, -torch.inf).argmax(1))
    raised, relative = torch.stack(whole, dim=1), torch.stack(more, dim=1)
    relative = torch.where(raised > 0, relative, 0)
    told = torch.where((relative > 0).any(1, keepdim=True), relative, raised)
    return told.tolist(), torch.stack(best, dim=1).tolist()
