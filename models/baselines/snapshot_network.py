"""A recurrent network over snapshots of the graph between users and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.geometric_temporal import recurrent


@dataclass(frozen=True)
class Snapshot:
    """The interactions of one interval as a bipartite graph, its nodes numbered users first."""

    users: Tensor
    """``[u]`` distinct user rows."""
    items: Tensor
    """``[i]`` distinct item rows."""
    edges: Tensor
    """``[2, 2E]`` both directions of each distinct pair, as places in ``users`` and, after them, ``items``."""
    weights: Tensor
    """``[2E]`` how often the pair came, as ``log2(1 + count)``."""
    pairs: Tensor
    """``[N, 2]`` user and item rows of every interaction."""


def snapshot(pairs: NDArray[np.int64]) -> Snapshot:
    """The graph of ``pairs`` ``[N, 2]``, user and item rows, N at least 1."""
    users, user_places = np.unique(pairs[:, 0], return_inverse=True)
    items, item_places = np.unique(pairs[:, 1], return_inverse=True)
    ends, counts = np.unique(np.stack([user_places, item_places + len(users)]), axis=1, return_counts=True)
    weights = torch.from_numpy(np.log2(1 + counts).astype(np.float32)).repeat(2)
    edges = torch.from_numpy(np.concatenate([ends, ends[::-1]], axis=1))
    return Snapshot(torch.from_numpy(users), torch.from_numpy(items), edges, weights, torch.from_numpy(pairs))


class States(NamedTuple):
    """A vector for every node, row 0 for the null node."""

    users: Tensor
    """``[users, width]``."""
    items: Tensor
    """``[items, width]``."""


class SnapshotNetwork(nn.Module):
    """GConvGRU (Seo, Defferrard, Vandergheynst & Bresson, "Structured Sequence Modeling with Graph Convolutional
    Recurrent Networks", ICONIP 2018, equation 8) from PyTorch Geometric Temporal, over learned node embeddings.

    A snapshot moves the states of its own nodes; all others wait. Tables begin with
    the null node alone and grow.
    """

    def __init__(self, *, width: int, order: int) -> None:
        super().__init__()
        self.users = nn.Embedding(1, width)
        self.items = nn.Embedding(1, width)
        self.bias = nn.Embedding(1, 1)
        for embedding in (self.users, self.items, self.bias):
            nn.init.zeros_(embedding.weight)
        self.cell: nn.Module = recurrent().GConvGRU(width, width, order)

    def forward(self, states: States, graph: Snapshot) -> States:
        """The states after ``graph``."""
        features = torch.cat([self.users(graph.users), self.items(graph.items)])
        before = torch.cat([states.users[graph.users], states.items[graph.items]])
        after = self.cell(features, graph.edges, graph.weights, before)
        return States(
            states.users.index_copy(0, graph.users, after[: len(graph.users)]),
            states.items.index_copy(0, graph.items, after[len(graph.users) :]),
        )

    def resized(self, states: States) -> States:
        """``states`` with zeros for the rows that the tables have gained since."""
        grown = (
            functional.pad(rows, (0, 0, 0, len(table.weight) - len(rows)))
            for rows, table in zip(states, (self.users, self.items), strict=True)
        )
        return States(*grown)

    def vectors(self, states: States) -> States:
        """What stands for each node in a score, shaped as ``states``: embedding plus state."""
        return States(self.users.weight + states.users, self.items.weight + states.items)
