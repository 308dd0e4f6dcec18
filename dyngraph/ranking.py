"""Candidate union and the rank of a true item, both without a look at the label."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.protocols import Sets

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def unite(proposals: list[Tensor], length: int) -> Tensor:
    """Distinct candidates ``[U, C]`` of several proposals ``[U, m_s]`` of rows below ``length``; row 0 fills the rest.

    >>> unite([torch.tensor([[3, 1]]), torch.tensor([[1, 0]])], 4).tolist()
    [[3, 1]]
    """
    return torch.from_numpy(_unite(torch.cat(proposals, dim=1).numpy(), length))


def contains(sets: Sets, query: Tensor, items: Tensor) -> Tensor:
    """``[E]`` bool: whether each of ``items [E]`` stands in the set of its ``query [E]``."""
    return torch.from_numpy(_contains(sets.start, sets.items, query.numpy(), items.numpy()))


def without(sets: Sets, items: Tensor) -> Tensor:
    """``items [U, C]`` with 0 in place of those in the set of their row."""
    return torch.from_numpy(_without(sets.start, sets.items, items.numpy()))


def locate(candidates: Tensor, query: Tensor, targets: Tensor) -> Tensor:
    """Column ``[E]`` of ``targets [E]`` among the candidates of their ``query [E]``, -1 where absent."""
    found, place = (candidates[query] == targets.unsqueeze(1)).max(dim=1)
    return torch.where(found & (targets > 0), place, -1)


def rivals(query: Tensor, items: Tensor, place: Tensor, chosen: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The other true items of each event's query: which of its ``width`` candidates they are, ``[E, C]`` bool, and how
    many they are, ``[E]``.

    Event e of query ``query [E]`` is about ``items [E]``, which stands at ``place [E]`` among the candidates (-1 where
    it does not); it is true where ``chosen [E]``.
    """
    queries = int(query.max()) + 1 if len(query) else 0
    pairs = torch.unique(torch.stack((query[chosen], items[chosen])), dim=1)
    number = torch.bincount(pairs[0], minlength=queries)[query] - chosen.to(torch.int64)
    there = chosen & (place >= 0)
    mark = torch.zeros(queries, width, dtype=torch.bool)
    mark[query[there], place[there]] = True
    hidden = mark[query]
    hidden[place >= 0, place[place >= 0]] = False
    return hidden, number


def candidate_ranks(rows: Tensor, place: Tensor, rankable: Tensor) -> Tensor:
    """Middle rank ``[E]`` (float64) of each event's item in a list that ends with its candidates.

    ``rows [E, C]`` are the candidates' scores, -inf for none; ``rankable [E]`` is the number of items that could be
    ranked for the event (those seen so far, less the masked ones). Items that are no candidate tie behind all
    candidates.
    """
    own = rows.gather(1, place.clamp(min=0).unsqueeze(1))
    above, equal = (rows > own).sum(1), (rows == own).sum(1) - 1
    size = torch.isfinite(rows).sum(1)
    behind = size + (1 + (rankable - size).clamp(min=1)) / 2
    return torch.where(place >= 0, 1 + above + equal / 2, behind).to(torch.float64)


def full_ranks(scores: Tensor, targets: Tensor, masked: Sets | None, query: Tensor) -> Tensor:
    """Middle rank ``[E]`` of ``targets [E]`` under one score per item ``[items]`` (row 0 is no item).

    The set of an event's ``query [E]`` is taken out of its ranking.
    """
    ordered = torch.sort(scores[1:]).values
    own = scores[targets]
    not_above = torch.searchsorted(ordered, own, right=True)
    above = (ordered.shape[0] - not_above).to(torch.float64)
    equal = (not_above - torch.searchsorted(ordered, own) - 1).clamp(min=0).to(torch.float64)
    if masked is not None:
        better, same = _masked(scores.numpy(), targets.numpy(), masked.start, masked.items, query.numpy())
        above, equal = above - torch.from_numpy(better), equal - torch.from_numpy(same)
    return 1 + above + equal / 2


@njit(cache=True)
def _unite(proposals: Ints, length: int) -> Ints:
    queries, width = proposals.shape
    stamp = np.zeros(length, np.int64)
    made = np.zeros((queries, width), np.int64)
    widest = 1
    for q in range(queries):
        taken = 0
        for c in range(width):
            item = proposals[q, c]
            if item > 0 and stamp[item] != q + 1:
                stamp[item] = q + 1
                made[q, taken] = item
                taken += 1
        widest = max(widest, taken)
    return made[:, :widest].copy()


@njit(cache=True)
def _contains(start: Ints, members: Ints, query: Ints, items: Ints) -> Flags:
    found = np.zeros(items.shape[0], np.bool_)
    for e in range(items.shape[0]):
        for at in range(start[query[e]], start[query[e] + 1]):
            if members[at] == items[e]:
                found[e] = True
                break
    return found


@njit(cache=True)
def _without(start: Ints, members: Ints, items: Ints) -> Ints:
    made = items.copy()
    largest = max(items.max() if items.size else 0, members.max() if members.size else 0)
    stamp = np.zeros(largest + 1, np.int64)
    for q in range(items.shape[0]):
        for at in range(start[q], start[q + 1]):
            stamp[members[at]] = q + 1
        for c in range(items.shape[1]):
            if stamp[items[q, c]] == q + 1:
                made[q, c] = 0
    return made


@njit(cache=True)
def _masked(scores: Floats, targets: Ints, start: Ints, members: Ints, query: Ints) -> tuple[Floats, Floats]:
    """How many of each event's masked items score above its target, and how many the same."""
    better, same = np.zeros(targets.shape[0]), np.zeros(targets.shape[0])
    for e in range(targets.shape[0]):
        own = scores[targets[e]]
        for at in range(start[query[e]], start[query[e] + 1]):
            if members[at] != targets[e]:
                better[e] += scores[members[at]] > own
                same[e] += scores[members[at]] == own
    return better, same
