"""The network that reads reasoning graphs beside the stream, and its settings."""

from __future__ import annotations

import math

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.llmrg.fusion import FusionConfig, ReasoningFusion


class StreamChainsConfig(msgspec.Struct, frozen=True):
    """What may differ between two. Raises ValueError for a count below 1."""

    dim: int = 32
    """Width d of the fused vectors."""
    text_dim: int = 384
    """Width w of text vectors."""
    temporal_dim: int = 64
    """Width D of the temporal graph's vectors."""
    fusion: FusionConfig = FusionConfig(dim=32)
    """Which parts are read; its widths are set from the above."""
    lr: float = 2e-3
    clip: float = 5.0
    learn_events: int = 64
    """Events of users with a graph that are learned at a time."""
    draws: int = 256
    """Items that an update draws, besides those of its events."""
    propose: int = 40
    """Candidates per list, the imagined items first."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "text_dim", "temporal_dim", "learn_events", "draws", "propose"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: use 1 or more")


class ChainsNetwork(nn.Module):
    """The fusion, and what maps users and items to its width."""

    def __init__(self, config: StreamChainsConfig) -> None:
        super().__init__()
        self.config = config
        fusion = msgspec.structs.replace(config.fusion, dim=config.dim, text_dim=config.text_dim, seed=config.seed)
        self.fusion = ReasoningFusion(fusion)
        self.base = nn.Linear(config.temporal_dim, config.dim, bias=False)
        self.moving = nn.Linear(config.temporal_dim, config.dim, bias=False)
        self.lasting = nn.Linear(config.text_dim, config.dim, bias=False)
        self.sharpness = nn.Parameter(torch.zeros(()))

    def lasting_parts(self, texts: Tensor) -> Tensor:
        """``[m, d]`` what the texts ``[m, w]`` give to items' vectors; zeros for no text."""
        made: Tensor = functional.layer_norm(self.lasting(texts), (self.config.dim,)) * texts.any(-1, keepdim=True)
        return made

    def items(self, temporal: Tensor, lasting: Tensor) -> Tensor:
        """``[m, d]`` of items with temporal vectors ``[m, D]`` and lasting parts ``[m, d]``."""
        made: Tensor = self.moving(temporal) + lasting
        return made

    def users(self, parts: Tensor, temporal: Tensor) -> Tensor:
        """``[n, d]`` of users with the graphs' vectors ``[n, p d]`` and temporal ones ``[n, D]``."""
        fused: Tensor = self.fusion.mix(torch.cat((parts, self.base(temporal)), dim=1))
        return fused * (self.sharpness.exp() / math.sqrt(self.config.dim))
