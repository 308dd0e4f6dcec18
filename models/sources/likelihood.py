"""Three columns for the ranker out of one model's logits, the same for every model that scores by dot product."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.protocols import Feature, Signal


def likelihood_features(prefix: str) -> tuple[Feature, ...]:
    """What :func:`described` gives, named for one model."""
    return tuple(Feature(f"{prefix}_{name}", Signal.RAISES) for name in ("likelihood", "log_likelihood", "nearness"))


def described(logits: Tensor, items: Tensor) -> Tensor:
    """``[U, C, 3]`` of the candidate rows ``items [U, C]`` (0 for none) under ``logits [U, items]``."""
    return described_among(logits.gather(1, items), items > 0)


def described_among(logits: Tensor, valid: Tensor) -> Tensor:
    """``[U, C, 3]`` of ``logits [U, C]`` of the candidates that are ``valid [U, C]``.

    Likelihood relative to the likeliest candidate, plain and as a logarithm (down to e^-8), and nearness scaled to the
    candidates; all in [0, 1].
    """
    top = logits.masked_fill(~valid, -torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
    low = logits.masked_fill(~valid, torch.inf).amin(1, keepdim=True).nan_to_num(posinf=0.0)
    behind = (logits - top).clamp(-8, 0)
    nearness = (logits - low) / (top - low).clamp(min=1e-6)
    return torch.stack((torch.exp(behind), 1 + behind / 8, nearness), dim=2) * valid.unsqueeze(2)


def nearest(logits: Tensor, propose: int) -> Tensor:
    """Item rows ``[U, propose]`` of the largest ``logits [U, items]``, the null row apart."""
    scores = logits[:, 1:]
    if not scores.shape[1]:
        return torch.zeros(len(logits), 1, dtype=torch.int64)
    return torch.topk(scores, min(propose, scores.shape[1]), dim=1).indices + 1
