"""The reconstruction loss: the true past item must be told from a drawn one by the relation that texts suggest.

Scores are as in DistMult, on the item vectors that the recommender uses; this is the way by which texts shape them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.lrd.config import Entropy

_SIGN = {"added": 1.0, "subtracted": -1.0, "off": 0.0}


def distmult(past: Tensor, relation: Tensor, candidate: Tensor) -> Tensor:
    """``s(h, r, i) = ⟨v_h ⊙ w_r, v_i⟩ + ⟨v_h, w_r⟩ + ⟨v_i, w_r⟩``, ``[..., R]`` of broadcastable vectors of past and
    candidate items ``[..., d]`` and of relations ``[R, d]``.
    """
    return (past * candidate + past + candidate) @ relation.T


def reconstruction_loss(
    log_q: Tensor,
    past: Tensor,
    drawn: Tensor,
    candidate: Tensor,
    relation: Tensor,
    known: Tensor,
    *,
    leave_out: int = 0,
    alpha: float = 0.1,
    entropy: Entropy = "added",
) -> Tensor:
    """``L_LRD = −mean_{b,r} log[1/|H| Σ_h σ(s(h,r,i) − s(h⁻,r,i))] ± α·mean(−q log q)`` with ``w_r = q_r · r``.

    ``log_q [B, H, R]``, the vectors of past, drawn ``[B, H, d]`` and true next items ``[B, d]``, of relations
    ``[R, d]``; ``known [B, H]`` says which past slots hold an event, at least one per row. The first ``leave_out``
    relations take no part in the reconstruction. Both scores of a slot use the true pair's q, so that its share of
    ``s`` that speaks of i alone cancels.
    """
    q = log_q.exp()
    # s(h,r,i) − s(h⁻,r,i) = q_r · ⟨(v_h − v_h⁻) ⊙ (v_i + 1), r⟩, one product instead of six.
    apart = ((past - drawn) * (candidate + 1).unsqueeze(1)) @ relation[leave_out:].T
    believed = torch.sigmoid(q[:, :, leave_out:] * apart) * known.unsqueeze(2)
    slots = known.sum(1, keepdim=True).to(q.dtype)
    reconstructed = -torch.log(believed.sum(1) / slots).mean()
    spread = -(q * log_q).mean(2)[known].mean()
    return reconstructed + _SIGN[entropy] * alpha * spread


def ranking_loss(scores: Tensor) -> Tensor:
    """``−mean log Σ_j softmax_j(s_j) · σ(s_+ − s_j)`` of ``[B, 1 + n]`` scores, the true one first.

    A draw counts the more the higher it is scored; with one draw this is BPR.
    """
    wrong = scores[:, 1:]
    weighed = torch.log_softmax(wrong, dim=1) + functional.logsigmoid(scores[:, :1] - wrong)
    return -torch.logsumexp(weighed, dim=1).mean()
