"""Chains as graphs for a graph network: distinct nodes, directed edges, all graphs of a batch in one.

The graphs of a batch stand in the same arrays without padding, since edges never cross from one to another. What a
dense ``[B, N, N]`` adjacency would mostly fill with zeros are two numbers per edge here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.llmrg.chains import Chains, Floats, Ints

_FULL = 100.0
_LEAST = 0.01
"""Weight of an edge with a score of 0: little, but a node's weights must have a sum."""


class GraphBatch(NamedTuple):
    """Directed graphs of B users with M nodes and E edges in all. A node is an item or a concept."""

    items: Tensor
    """``[M]`` item rows, 0 for a concept."""
    concepts: Tensor
    """``[M]`` rows of ``vectors``, 0 for an item."""
    vectors: Tensor
    """``[1 + concepts, w]`` text vectors of concepts."""
    graph: Tensor
    """``[M]`` which of the G graphs that are there a node is of."""
    source: Tensor
    """``[E]`` nodes."""
    target: Tensor
    """``[E]`` nodes."""
    weight_in: Tensor
    """``[E]`` share of the edge in what goes into its target; the entries of the column-normalised adjacency."""
    weight_out: Tensor
    """``[E]`` share of the edge in what leaves its source; the entries of the row-normalised adjacency."""
    last: Tensor
    """``[G]`` the node of the user's latest item."""
    present: Tensor
    """``[B]`` bool, whether the user has a graph; G of them do."""

    def to(self, device: torch.device) -> GraphBatch:
        """The same on ``device``."""
        return GraphBatch(*(part.to(device) for part in self))


def reasoning_graphs(chains: Chains) -> GraphBatch:
    """Items and the concepts between them: item -> concept -> item where a step goes on from another, straight where it
    has no concept; the concept of a step that opens a chain points to its item."""
    steps = np.arange(len(chains.item))
    about = np.flatnonzero(chains.concept)
    concept_at = np.full(len(steps), -1)
    concept_at[about] = len(steps) + np.arange(len(about))
    linked = np.flatnonzero(chains.came_from >= 0)
    # Into the step's concept where there is one, else into its item; then from the concept on to the item.
    into = np.where(concept_at[linked] >= 0, concept_at[linked], linked)
    return _packed(
        chains,
        user=np.concatenate([chains.user, chains.user[about]]),
        names=np.concatenate([chains.item, -chains.concept[about]]),
        source=np.concatenate([chains.came_from[linked], concept_at[about]]),
        target=np.concatenate([into, about]),
        weight=np.ones(len(linked) + len(about), dtype=np.float32),
        last=_latest(chains),
    )


def divergent_graphs(chains: Chains) -> GraphBatch:
    """From the steps to the items imagined behind them, each edge weighing by its score; users with nothing imagined
    have no graph."""
    asked = np.isin(chains.user, chains.imagined_user)
    latest = _latest(chains)
    latest = latest[asked[latest]]
    behind = len(latest) + np.arange(len(chains.imagined_item))
    ahead = len(latest) + len(behind) + np.arange(len(chains.imagined_item))
    return _packed(
        chains,
        user=np.concatenate([chains.user[latest], chains.imagined_user, chains.imagined_user]),
        names=np.concatenate([chains.item[latest], chains.item[chains.imagined_step], chains.imagined_item]),
        source=behind,
        target=ahead,
        weight=np.maximum(chains.imagined_score / _FULL, _LEAST).astype(np.float32),
        last=np.arange(len(latest)),
    )


def _latest(chains: Chains) -> Ints:
    """``[G]`` the newest step of each user who has one."""
    return np.flatnonzero(np.diff(chains.user, append=chains.users))


def _packed(
    chains: Chains, *, user: Ints, names: Ints, source: Ints, target: Ints, weight: Floats, last: Ints
) -> GraphBatch:
    """Mentions ``[X]`` of nodes (an item's row, or minus a concept's) become distinct nodes per user; ``source``,
    ``target`` ``[Y]`` and ``last`` ``[G]`` are mentions. Of equal edges the heaviest counts."""
    low = int(names.min(initial=0))
    span = int(names.max(initial=0)) - low + 1
    keys, node = np.unique(user * span + names - low, return_inverse=True)
    owner, named = keys // span, keys % span + low
    edges, which = np.unique(node[source] * len(keys) + node[target], return_inverse=True)
    heaviest = np.zeros(len(edges), dtype=np.float32)
    np.maximum.at(heaviest, which, weight)
    tail, head = edges // max(1, len(keys)), edges % max(1, len(keys))
    present = np.zeros(chains.users, dtype=bool)
    present[owner] = True
    arrays = (
        np.maximum(named, 0),
        np.maximum(-named, 0),
        chains.vectors,
        (np.cumsum(present) - 1)[owner],
        tail,
        head,
        (heaviest / np.bincount(head, heaviest, len(keys))[head]).astype(np.float32),
        (heaviest / np.bincount(tail, heaviest, len(keys))[tail]).astype(np.float32),
        node[last],
        present,
    )
    return GraphBatch(*map(torch.from_numpy, arrays))
