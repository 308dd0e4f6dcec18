"""A transformer over a sequence of items, asked for what is known after its last one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.sequential.dropout import ByteDropout

_EPS = 1e-12
_STD = 0.02


class Encoder(nn.Module):
    """SASRec as in RecBole and DuoRec: BERT's block, the norm after each sum, and a causal mask (Kang & McAuley,
    "Self-Attentive Sequential Recommendation", ICDM 2018).

    Only the answer after the last item is asked for, so the last block computes nothing else: the same result for half
    the work.
    """

    def __init__(self, *, width: int, layers: int, heads: int, inner: int, dropout: float, longest: int) -> None:
        super().__init__()
        self.positions = nn.Embedding(longest, width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = ByteDropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout) for _ in range(layers))
        self.apply(first_weights)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Item vectors ``[B, T, width]``, T up to the longest, of which the first ``lengths`` ``[B]`` (1 or more) count
        -> ``[B, width]``."""
        steps = vectors.shape[1]
        states = self.dropout(self.norm(vectors + self.positions.weight[:steps]))
        # Padding stands behind the last item, so that whoever may not look ahead does not see it.
        ahead = torch.ones(steps, steps, dtype=torch.bool, device=lengths.device).triu_(1)
        for block in self.blocks[:-1]:
            states = block(states, states, ahead)
        last = states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2]))
        there = torch.arange(steps, device=lengths.device) < lengths[:, None]
        answer: Tensor = self.blocks[-1](last, states, ~there[:, None, None])
        return answer.squeeze(1)


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what goes in and then normalised."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=_EPS)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.fed_norm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = ByteDropout(dropout)

    def forward(self, asked: Tensor, states: Tensor, hidden: Tensor) -> Tensor:
        """``asked`` ``[B, S, d]`` attends to ``states`` ``[B, T, d]``, but for where ``hidden`` holds, which
        broadcasts to ``[B, heads, S, T]`` -> ``[B, S, d]``."""
        key, value = self.key_value(states).chunk(2, dim=2)
        query = self._split(self.query(asked) * self.scale)
        # torch's fused attention has no dropout on a CPU, and falls back to this.
        weights = (query @ self._split(key).mT).masked_fill(hidden, -torch.inf).softmax(3)
        seen = (self.dropout(weights) @ self._split(value)).transpose(1, 2).flatten(2)
        middle = self.attended_norm(asked + self.dropout(self.attended(seen)))
        out: Tensor = self.fed_norm(middle + self.dropout(self.narrow(F.gelu(self.widen(middle)))))
        return out

    def _split(self, vectors: Tensor) -> Tensor:
        """``[B, T, d]`` -> ``[B, heads, T, d / heads]``."""
        return vectors.view(*vectors.shape[:2], self.heads, -1).transpose(1, 2)


def first_weights(module: nn.Module) -> None:
    """BERT's start: weights N(0, 0.02), biases 0, norms left at 1 and 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
