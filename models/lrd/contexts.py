"""From a user's past to one vector per relation, and from these to one per candidate (RCF, KDA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def relation_contexts(
    past: Tensor, known: Tensor, asked: Tensor, decay: Tensor | None = None, gate: Tensor | None = None
) -> Tensor:
    """``c_r = Σ_h softmax_h⟨v_h, (r + v_value) ⊙ v_i⟩ · v_h``: what of the past bears on a candidate, by relation.

    Past items ``[B, H, d]``, which of the slots are ``known [B, H]``, and the queries ``asked [B, C, R, d]``. After
    the softmax, attention is weighed by ``decay [B, H, R]`` and by ``gate [B, C, H, R]`` where they are given. Without
    any known slot contexts are zero. Returns ``[B, C, R, d]``.
    """
    b, c, r, d = asked.shape
    logits = (asked.reshape(b, c * r, d) @ past.transpose(1, 2)).masked_fill(~known.unsqueeze(1), -1e9)
    attention = torch.softmax(logits, dim=2).view(b, c, r, -1)
    weight = known.to(past.dtype).view(b, 1, 1, -1)
    if decay is not None:
        weight = weight * decay.transpose(1, 2).unsqueeze(1)
    attention = attention * weight
    if gate is not None:
        attention = attention * gate.transpose(2, 3)
    return (attention.view(b, c * r, -1) @ past).view(b, c, r, d)


class ContextMixing(nn.Module):
    """L passes of one self-attention over the relations' contexts: each x ← LN(x + FFN(attention(x))), then the mean.

    Weights are shared by the passes, as in the release; heads are joined without a projection, the FFN follows at once.
    """

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.heads, self.layers = heads, layers
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.widen = nn.Linear(dim, dim)
        self.narrow = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        # As small as the embeddings' start, as in the release: a wider start drowns what the contexts say, and for
        # many epochs nothing but popularity is learned.
        for linear in (self.project, self.widen, self.narrow):
            nn.init.normal_(linear.weight, std=0.01)
        for linear in (self.widen, self.narrow):
            nn.init.zeros_(linear.bias)

    def forward(self, contexts: Tensor) -> Tensor:
        """``[N, R, d]`` contexts to ``[N, d]``."""
        x = contexts
        for _ in range(self.layers):
            x = self.norm(x + self.narrow(functional.relu(self.widen(self._attended(x)))))
        return x.mean(1)

    def _attended(self, x: Tensor) -> Tensor:
        n, r, d = x.shape
        query, key, value = self.project(x).view(n, r, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).reshape(n, r, d)
