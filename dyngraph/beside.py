"""Models that a report shows beside the engine: every item ranked by a model's own logits, at the same moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Queries, Scorer, Sets


class Beside(NamedTuple):
    """What each model did with one batch, by its name."""

    ranks: dict[str, NDArray[np.float64]]
    """``[B]`` middle rank of each event's item among all items."""
    tops: dict[str, NDArray[np.int64]]
    """``[B, k]`` item rows of the list, 0 for none."""


def ranked_beside(
    scorers: Sequence[Scorer],
    graph: DynamicGraph,
    queries: Queries,
    batch: EventBatch,
    query: Tensor,
    masked: Sets | None,
    kept: int,
) -> Beside:
    """Rank the items of ``batch``, event e of which was asked as ``queries[query[e]]``, without those in ``masked``.

    Lists are ``kept`` long. An event whose item is no candidate has a rank that means nothing.
    """
    ranks, tops = {}, {}
    for scorer in scorers:
        logits = _candidates(scorer.logits(graph, queries), masked)
        ranks[scorer.name] = _middle_ranks(logits, batch.items, query).numpy()
        best = torch.topk(logits, min(kept, logits.shape[1]), dim=1)
        tops[scorer.name] = (best.indices * torch.isfinite(best.values))[query].numpy()
    return Beside(ranks, tops)


def _middle_ranks(logits: Tensor, targets: Tensor, query: Tensor) -> Tensor:
    """``[E]`` of ``targets [E]`` under ``logits [U, items]`` of their queries; -inf counts for nothing."""
    rows = logits[query]
    own = rows.gather(1, targets.unsqueeze(1))
    above = (rows > own).sum(1).to(torch.float64)
    equal = (rows == own).sum(1).to(torch.float64) - 1
    return 1 + above + equal / 2


def _candidates(logits: Tensor, masked: Sets | None) -> Tensor:
    """A copy of ``logits [U, items]`` with -inf for the null row and for the members of each query's set."""
    shown = logits.clone()
    shown[:, 0] = -torch.inf
    if masked is not None:
        rows = np.repeat(np.arange(len(logits)), np.diff(masked.start))
        known = (masked.items > 0) & (masked.items < logits.shape[1])
        shown[torch.from_numpy(rows[known]), torch.from_numpy(masked.items[known])] = -torch.inf
    return shown
