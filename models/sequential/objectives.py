"""What sequential base models are trained for: the next item among all, and like encodings of like histories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_AT_ONCE = 64
"""Rows of the score table that exist at a time: 3 MB for 12,101 items, which a cache holds."""


def softmax_loss(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the true item among all: states ``[B, d]``, item table ``[1 + n, d]`` whose row 0 is the null
    row and no candidate, target rows ``[B]`` from 1 -> ``[]``."""
    loss: Tensor = _SoftmaxLoss.apply(states, items[1:], targets - 1)
    return loss


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


class _SoftmaxLoss(torch.autograd.Function):
    """``mean(-log softmax(states @ items.T)[targets])`` with its gradients in the same pass, a few rows at a time.

    torch's own keeps four tables of ``[B, n]`` and took 1.4 times as long. The gradient of row b's scores is
    ``(softmax - onehot) / B``. Not differentiable twice.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        by_state, by_item = torch.empty_like(states), torch.zeros_like(items)
        total = states.new_zeros(())
        for some, true, gradient in zip(
            *(torch.split(part, _AT_ONCE) for part in (states, targets, by_state)), strict=True
        ):
            scores = some @ items.T
            scores.sub_(scores.amax(1, keepdim=True))
            own = scores.gather(1, true[:, None])
            sums = scores.exp_().sum(1, keepdim=True)
            total += (sums.log() - own).sum()
            scores.div_(sums * len(states)).scatter_add_(1, true[:, None], torch.full_like(own, -1 / len(states)))
            torch.mm(scores, items, out=gradient)
            by_item.addmm_(scores.T, some)
        ctx.save_for_backward(by_state, by_item)
        return total / len(states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        by_state, by_item = ctx.saved_tensors
        return by_state * gradients[0], by_item * gradients[0], None
