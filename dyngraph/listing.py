"""From a ranking to what people see: the best items with their reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dyngraph.explaining import explain
from dyngraph.graph import DynamicGraph
from dyngraph.lists import RankedItem, RecommendationList
from dyngraph.order import Moment
from dyngraph.protocols import Source
from dyngraph.ranked import Ranking
from dyngraph.reranking import EXPLORED, NEW_HERE, Explorer, Rerank, pick


def lists_of(
    graph: DynamicGraph,
    sources: Sequence[Source],
    ranking: Ranking,
    at: Moment,
    k: int,
    *,
    rerank: Rerank | None,
    explorer: Explorer | None,
) -> list[RecommendationList]:
    """The ``k`` best of each query of ``ranking``, which was made by ``sources`` for the moment ``at``."""
    users = ranking.queries.names
    columns, probability = pick(
        graph,
        ranking.queries.users,
        at,
        ranking.items,
        ranking.scores,
        k,
        rerank=rerank,
        explorer=explorer,
    )
    rows = ranking.items.gather(1, columns)
    query, column = (rows > 0).nonzero(as_tuple=True)
    places, found = query.tolist(), rows[query, column].tolist()
    valid = (ranking.items > 0).unsqueeze(2)
    gates = ranking.gates[query]
    given = ranking.features[query, columns[query, column]] * gates
    # What every candidate got alike moved nobody: a reason is what an item got above the average candidate.
    usual = (ranking.features * valid).sum(1) / valid.sum(1).clamp(min=1)
    above = given - usual[query] * gates
    why = explain(sources, graph, ranking.queries, places, found, given, above)
    items: list[list[RankedItem]] = [[] for _ in users]
    scores = ranking.scores[query, columns[query, column]].tolist()
    chances = probability[query, column].tolist()
    for place, row, score, explanation, chance in zip(places, found, scores, why, chances, strict=True):
        explored = not math.isnan(chance)
        item_id = graph.item_ids[row]
        items[place].append(
            RankedItem(
                item_id=item_id,
                title=graph.catalogue.title(item_id),
                score=round(score, 6),
                rank=len(items[place]) + 1,
                source=EXPLORED if explored else explanation.source,
                reasons=[NEW_HERE, *explanation.reasons] if explored else explanation.reasons,
                probability=chance if explored else None,
            )
        )
    horizon = graph.horizon
    return [RecommendationList(user, horizon, made) for user, made in zip(users, items, strict=True)]
