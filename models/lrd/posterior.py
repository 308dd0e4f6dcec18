"""q(r | h, i): which relation leads from a past item to a candidate, told by their texts alone.

The release computes ``softmax(W2 [W1 e_h ‖ W1 e_i])`` with a linear W2, which is a sum: one half for the item as a past
one, one for it as a candidate. So a pair costs two look-ups, and halves can be kept per item.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Halves(NamedTuple):
    """What an item adds to the posterior of any pair it is in."""

    past: Tensor
    """``[..., R]`` a, as the past item."""
    candidate: Tensor
    """``[..., R]`` b, as the candidate."""


class RelationPosterior(nn.Module):
    """From texts to halves, from halves to a distribution over relations (LRD, relation extraction)."""

    def __init__(self, text_dim: int, dim: int, relations: int, *, normalised: bool = False) -> None:
        super().__init__()
        self.relations, self.normalised = relations, normalised
        self.project = nn.Linear(text_dim, dim, bias=False)
        self.past = nn.Linear(dim, relations, bias=False)
        self.candidate = nn.Linear(dim, relations)
        """Its bias is c, once per pair."""

    def halves(self, texts: Tensor) -> Halves:
        """Halves of items with text vectors ``[..., w]``; zeros, no text, leave it to the other item and to c."""
        projected = self.project(texts)
        if self.normalised:
            known = texts.any(-1, keepdim=True)
            projected = functional.layer_norm(projected, (projected.shape[-1],)) * known
        return Halves(self.past(projected), self.candidate(projected))


def spread(log_q: Tensor, latent_at: int) -> Tensor:
    """Entropy of the average over the pairs ``[P, R]`` of ``q`` given that the relation is latent, up to ln K."""
    latent = log_q[:, latent_at:].exp()
    mean = latent.sum(0) / latent.sum().clamp(min=1e-9)
    return -(mean * torch.log(mean.clamp(min=1e-9))).sum()


def log_posterior(past: Tensor, candidate: Tensor) -> Tensor:
    """``log q [B, C, H, R]`` of the pairs of past halves ``[B, H, R]`` and candidate halves ``[B, C, R]``."""
    return torch.log_softmax(past.unsqueeze(1) + candidate.unsqueeze(2), dim=-1)
