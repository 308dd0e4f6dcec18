"""Candidate union and the rank of a true item, both without a look at the label."""

from __future__ import annotations

import torch
from torch import Tensor


def unite(proposals: list[Tensor]) -> Tensor:
    """Distinct candidates ``[U, C]`` of several proposals ``[U, m_s]``; row 0 fills the rest.

    >>> unite([torch.tensor([[3, 1]]), torch.tensor([[1, 0]])]).tolist()
    [[3, 1]]
    """
    items = torch.sort(torch.cat(proposals, dim=1), dim=1, descending=True).values
    repeated = torch.zeros_like(items, dtype=torch.bool)
    repeated[:, 1:] = items[:, 1:] == items[:, :-1]
    items = torch.sort(items.masked_fill(repeated, 0), dim=1, descending=True).values
    width = int((items > 0).sum(1).max()) if items.numel() else 0
    return items[:, : max(width, 1)]


def contained(items: Tensor, sets: Tensor) -> Tensor:
    """``[U, C]`` bool: whether ``items [U, C]`` stand in the set ``sets [U, L]`` of their row."""
    ordered = torch.sort(sets, dim=1).values
    place = torch.searchsorted(ordered, items.contiguous()).clamp(max=ordered.shape[1] - 1)
    return ordered.gather(1, place) == items


def locate(candidates: Tensor, query: Tensor, targets: Tensor) -> Tensor:
    """Column ``[E]`` of ``targets [E]`` among the candidates of their ``query [E]``, -1 where absent."""
    found, place = (candidates[query] == targets.unsqueeze(1)).max(dim=1)
    return torch.where(found & (targets > 0), place, -1)


def candidate_ranks(scores: Tensor, query: Tensor, place: Tensor, rankable: Tensor) -> Tensor:
    """Middle rank ``[E]`` (float64) of each event's item in a list that ends with its candidates.

    ``scores [U, C]`` are -inf for padding; ``rankable [E]`` is the number of items that could be ranked for the event
    (those seen so far, less the masked ones). Items that are no candidate tie behind all candidates.
    """
    rows = scores[query]
    own = rows.gather(1, place.clamp(min=0).unsqueeze(1))
    above, equal = (rows > own).sum(1), (rows == own).sum(1) - 1
    size = torch.isfinite(rows).sum(1)
    behind = size + (1 + (rankable - size).clamp(min=1)) / 2
    return torch.where(place >= 0, 1 + above + equal / 2, behind).to(torch.float64)


def full_ranks(scores: Tensor, targets: Tensor, masked: Tensor | None) -> Tensor:
    """Middle rank ``[E]`` of ``targets [E]`` under one score per item ``[items]`` (row 0 is no item).

    ``masked [E, L]`` (distinct rows, 0 for none) are taken out of each event's ranking.
    """
    ordered = torch.sort(scores[1:]).values
    own = scores[targets]
    not_above = torch.searchsorted(ordered, own, right=True)
    above = ordered.shape[0] - not_above
    equal = (not_above - torch.searchsorted(ordered, own) - 1).clamp(min=0)
    if masked is not None:
        out = (masked > 0) & (masked != targets.unsqueeze(1))
        above = above - ((scores[masked] > own.unsqueeze(1)) & out).sum(1)
        equal = equal - ((scores[masked] == own.unsqueeze(1)) & out).sum(1)
    return 1 + above.to(torch.float64) + equal / 2
