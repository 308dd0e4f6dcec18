"""The loss of the learned baselines: one item taken against many that were not."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def sampled_softmax(
    states: Tensor, taken: Tensor, drawn: Tensor, items: Tensor, offsets: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of ``taken`` ``[n]`` against the item rows ``drawn`` ``[m]`` evenly, shared by all.

    A score is the product of ``states`` ``[n, d]`` with the row of ``items`` ``[I, d]``, plus that of ``offsets``
    ``[I]``. Where the item taken is itself among those drawn it is not held against itself. The proposal is uniform,
    so that the usual correction (Bengio & Senécal 2008) is a constant and drops out.
    """
    positive = (states * items[taken]).sum(1)
    negative = states @ items[drawn].T
    if offsets is not None:
        positive, negative = positive + offsets[taken], negative + offsets[drawn]
    negative = negative.masked_fill(drawn == taken.unsqueeze(1), -math.inf)
    return functional.cross_entropy(torch.cat([positive.unsqueeze(1), negative], 1), torch.zeros_like(taken))
