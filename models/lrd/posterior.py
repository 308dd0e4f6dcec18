"""q(r | h, i): which relation leads from a past item to a candidate, told by their texts alone.

The release computes ``softmax(W2 [W1 e_h ‖ W1 e_i])`` with a linear W2, which is a sum: one half for the item as a past
one, one for it as a candidate. So a pair costs two look-ups, and halves can be kept per item.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Halves(NamedTuple):
    """What an item adds to the posterior of any pair it is in."""

    past: Tensor
    """``[..., R]`` a, as the past item."""
    candidate: Tensor
    """``[..., R]`` b, as the candidate."""


class RelationPosterior(nn.Module):
    """From texts to halves, from halves to a distribution over relations (LRD, relation extraction)."""

    def __init__(self, text_dim: int, dim: int, relations: int) -> None:
        super().__init__()
        self.relations = relations
        self.project = nn.Linear(text_dim, dim, bias=False)
        self.past = nn.Linear(dim, relations, bias=False)
        self.candidate = nn.Linear(dim, relations)
        """Its bias is c, once per pair."""

    def halves(self, texts: Tensor) -> Halves:
        """Halves of items with text vectors ``[..., w]``; zeros, no text, leave it to the other item and to c."""
        projected = self.project(texts)
        return Halves(self.past(projected), self.candidate(projected))


def log_posterior(past: Tensor, candidate: Tensor) -> Tensor:
    """``log q [B, C, H, R]`` of the pairs of past halves ``[B, H, R]`` and candidate halves ``[B, C, R]``."""
    return torch.log_softmax(past.unsqueeze(1) + candidate.unsqueeze(2), dim=-1)
