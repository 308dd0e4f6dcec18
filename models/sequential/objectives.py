"""What sequential base models are trained for: the next item among all, and like encodings of like histories."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax_loss(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the true item among all: states ``[B, d]``, item table ``[1 + n, d]`` whose row 0 is the null
    row and no candidate, target rows ``[B]`` from 1 -> ``[]``."""
    return F.cross_entropy(states @ items[1:].T, targets - 1)


def info_nce(first: Tensor, second: Tensor, temperature: float = 1.0) -> Tensor:
    """Two encodings ``[N, d]`` of the same examples find each other among all ``2N`` of the batch -> ``[]``.

    InfoNCE as in DuoRec: products as similarity, every encoding asks once, and the other ``2N - 2`` are its negatives
    (Qiu et al., "Contrastive Learning for Representation Degeneration Problem in Sequential Recommendation", WSDM 2022,
    equations 9 to 12).
    """
    both = torch.cat([first, second])
    alike = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    partners = torch.arange(len(both), device=both.device).roll(len(first))
    return F.cross_entropy(alike, partners)
