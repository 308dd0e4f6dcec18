"""Reasons, read off from what each source really gave to a score."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Queries, Signal, Source

SHARE = 0.2
"""A source is named if it gave at least this share of what raised the item; the largest one always is."""


def explain(
    sources: Sequence[Source],
    graph: DynamicGraph,
    queries: Queries,
    contributions: Tensor,
    query: int,
    item: int,
) -> tuple[str, list[str]]:
    """The source that raised ``item`` most, and a sentence per source with a real share, largest first.

    ``contributions [F]`` are the item's, in the order of the sources' features; ``query`` is the place of the query.
    """
    values = iter(contributions.tolist())
    raised: list[tuple[float, Source, str]] = []
    for source in sources:
        parts = [(next(values), feature) for feature in source.features]
        parts = [(value, feature) for value, feature in parts if feature.signal is Signal.RAISES and value > 0]
        if parts:
            _, best = max(parts, key=lambda part: part[0])
            raised.append((sum(value for value, _ in parts), source, best.name))
    raised.sort(key=lambda entry: -entry[0])
    total = sum(value for value, _, _ in raised)
    reasons: list[str] = []
    for value, source, feature in raised:
        if reasons and value < SHARE * total:
            break
        reason = source.explain(graph, queries, Cause(int(queries.users[query]), item, query, feature))
        if reason:
            reasons.append(reason)
    return (raised[0][1].name if raised else ""), reasons
