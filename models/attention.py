"""Temporal graph attention: one query node over its K most recent edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dyngraph.events import EventType
from dyngraph.neighbours import Neighbourhood
from dyngraph.time_encoding import TimeEncoding

TYPE_DIM = 8


class EdgeFeatures(nn.Module):
    """Event type (learned) and value (log-scaled, sign kept) as one vector of :attr:`dim`."""

    dim = TYPE_DIM + 1

    def __init__(self) -> None:
        super().__init__()
        self.types = nn.Embedding(max(EventType) + 1, TYPE_DIM)

    def forward(self, types: Tensor, values: Tensor) -> Tensor:
        """``types [...]`` int64 and ``values [...]`` to ``[..., dim]``."""
        scaled = torch.sign(values) * torch.log1p(values.abs())
        return torch.cat((self.types(types), scaled.unsqueeze(-1)), dim=-1)


class TemporalAttention(nn.Module):
    """One layer of TGN's graph attention (Rossi et al. 2020, eq. 5-9).

    ``q = W_q [h ‖ φ(0)]``, ``k, v = W [h_nbr ‖ e ‖ φ(t_query − t_edge)]``, softmax over the usable slots, then a
    two-layer map of ``[attention ‖ h]``. A node without usable edges gets zero attention.
    """

    def __init__(self, dim: int, heads: int, edges: EdgeFeatures, clock: TimeEncoding) -> None:
        super().__init__()
        self.heads = heads
        self.edges, self.clock = edges, clock
        self.query = nn.Linear(dim + clock.dim, dim)
        self.key_value = nn.Linear(dim + edges.dim + clock.dim, 2 * dim)
        self.merge = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, h: Tensor, near: Neighbourhood, near_h: Tensor, ts: Tensor) -> Tensor:
        """``h [n, d]``, slots ``[n, K]`` with vectors ``near_h [n, K, d]``, query times ``ts [n]`` to ``[n, d]``."""
        n, k = near.nodes.shape
        elapsed = self.clock(ts.unsqueeze(1) - near.ts)
        now = h.new_ones(n, self.clock.dim)
        query = self.query(torch.cat((h, now), dim=1)).view(n, self.heads, -1)
        key_value = self.key_value(torch.cat((near_h, self.edges(near.types, near.values), elapsed), dim=2))
        key, value = key_value.view(n, k, 2, self.heads, -1).unbind(2)
        logits = torch.einsum("nhd,nkhd->nhk", query, key) / math.sqrt(query.shape[2])
        logits = logits.masked_fill(~near.mask.unsqueeze(1), -1e9)
        weight = functional.softmax(logits, dim=2) * near.mask.any(1).view(n, 1, 1)
        attended = torch.einsum("nhk,nkhd->nhd", weight, value).reshape(n, -1)
        out: Tensor = self.merge(torch.cat((attended, h), dim=1))
        return out
