"""Reasoning graphs beside any base model: three vectors of a user made into one that is compared with items."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from models.llmrg.chains import Chains
from models.llmrg.graphs import divergent_graphs, reasoning_graphs
from models.llmrg.srgnn import SRGNN

Divergence = Literal["graph", "pooled", "off"]

_SMALL = 0.02


class FusionConfig(msgspec.Struct, frozen=True):
    """Parts and sizes. Raises ValueError for settings that do not go together."""

    dim: int = 64
    """Width d of the base model's vectors and of its items."""
    text_dim: int = 384
    """Width w of the concepts' text vectors."""
    reasoning: bool = True
    """Whether the graph of reasons is read."""
    divergence: Divergence = "graph"
    """How imagined items are read: through their ``graph``, as the mean of their vectors (``pooled``: the control
    without a graph), or not at all."""
    steps: int = 1
    """Of message passing."""
    dropout: float = 0.0
    """On the graphs' vectors."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.divergence not in get_args(Divergence):
            known = ", ".join(get_args(Divergence))
            raise ValueError(f"divergence={self.divergence!r} is unknown; use one of: {known}")
        if not self.reasoning and self.divergence == "off":
            raise ValueError("neither reasons nor imagined items are read; switch one on, or use the base model alone")


class ReasoningFusion(nn.Module):
    """``ψ([E_ori ‖ E_div ‖ E_base])`` with a linear ψ (LLMRG, Wang et al. 2023, section 3; ψ is our reading).

    The base model may be any that gives vectors of the items' width: SASRec, DuoRec, the temporal graph embedding. A
    user without chains, or without imagined items, has zeros there, and so adds nothing, whatever has been learned.
    The fusion starts as nearly the base model: its block of ψ is the identity, the others' weights are small.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.reasoning = SRGNN(config.dim, config.text_dim, config.steps) if config.reasoning else None
            # Nothing that was imagined is a concept.
            self.divergent = SRGNN(config.dim, None, config.steps) if config.divergence == "graph" else None
            self.dropout = nn.Dropout(config.dropout)
            parts = config.reasoning + (config.divergence != "off")
            self.mix = nn.Linear((1 + parts) * config.dim, config.dim)
            nn.init.normal_(self.mix.weight, std=_SMALL)
        nn.init.zeros_(self.mix.bias)
        with torch.no_grad():
            self.mix.weight[:, -config.dim :] = torch.eye(config.dim)

    def forward(self, base: Tensor, chains: Chains, items: Tensor) -> Tensor:
        """The base model's vectors ``[B, d]``, the users' chains and the item table ``[1 + n, d]`` -> ``[B, d]``."""
        parts = [self.dropout(part) for part in self.graph_vectors(chains, items)]
        fused: Tensor = self.mix(torch.cat([*parts, base], dim=1))
        return fused

    def graph_vectors(self, chains: Chains, items: Tensor) -> list[Tensor]:
        """``E_ori`` and ``E_div`` ``[B, d]``, those that are read; they stand until a graph or the weights change."""
        parts = []
        if self.reasoning is not None:
            parts.append(self.reasoning(reasoning_graphs(chains).to(items.device), items))
        if self.divergent is not None:
            parts.append(self.divergent(divergent_graphs(chains).to(items.device), items))
        elif self.config.divergence == "pooled":
            parts.append(_pooled(chains, items))
        return parts


def _pooled(chains: Chains, items: Tensor) -> Tensor:
    """``[B, d]`` mean vector of each user's imagined items, zeros where there are none."""
    counts = np.bincount(chains.imagined_user, minlength=chains.users)
    share = torch.from_numpy((1 / counts[chains.imagined_user]).astype(np.float32)).to(items.device)
    rows = nn.functional.embedding(torch.from_numpy(chains.imagined_item).to(items.device), items)
    users = torch.from_numpy(chains.imagined_user).to(items.device)
    return items.new_zeros(chains.users, items.shape[1]).index_add(0, users, rows * share[:, None])
