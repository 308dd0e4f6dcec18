"""The trainable parts of DynLLM, and what they compute.

Source: "DynLLM: When Large Language Models Meet Dynamic Graph Recommendation" (ACM TOIS 2025, doi 10.1145/3786601), as
described there and in its authors' release. Facet texts are projected and layer-normed; a scorer distils each facet to
its k most telling dimensions; the temporal vector of the user, with a two-sided projection in time (after JODIE),
attends to the distilled facets; an item is a static half from its text joined to a dynamic half.

What differs from the authors' release, on purpose: facet memory is a recurrence over the raw kept versions, so that its
projections are trained (theirs never receive a gradient); layer norm instead of a z-score over the batch in the time
projection (theirs is undefined for one event, and looks at other users); users without a profile have learned null
facets; every candidate is represented by one rule (theirs treats true items apart); the softmax replaces BPR with one
draw. Added: the residual of :class:`~models.dynllm.config.DynLLMConfig`, and the temporal vectors' own dot product, so
that a DynLLM which has learned nothing yet ranks as its temporal embedding and the texts do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dyngraph.profiles import FACETS
from models.dynllm.capture import Asked
from models.dynllm.config import DynLLMConfig

_KNOWN = 3
"""What is told of a profile beside its texts: its two ages, and whether there is one."""


FAMILIARITIES = 11
"""Levels of how often an item was met."""


class DynLLMNetwork(nn.Module):
    """From raw inputs to vectors; holds no state of the graph."""

    used: Tensor
    """``[4]`` bool: which facets are read."""

    def __init__(self, config: DynLLMConfig) -> None:
        super().__init__()
        self.config = config
        temporal, d, facets = config.temporal_dim, config.dim, len(FACETS)
        self.register_buffer("used", torch.tensor([facet in config.facets for facet in FACETS]), persistent=False)
        # One start for facets and items: what is alike in text is alike here before anything is learned.
        first = nn.init.orthogonal_(torch.empty(config.text_dim, d)) * math.sqrt(config.text_dim / d)
        self.facet = nn.Parameter(first.repeat(facets, 1, 1))
        """``[4, w, d]`` W_f."""
        self.static = nn.Parameter(first.clone())
        """``[w, d]`` W_s."""
        self.no_text = nn.Parameter(0.02 * torch.randn(d))
        self.null = nn.Parameter(0.02 * torch.randn(facets, d))
        self.gate = nn.Parameter(torch.zeros(facets, d))
        """Of the recurrence over versions, before the sigmoid."""
        self.scorer = nn.Parameter(torch.randn(d))
        """p of the distillation."""
        self.pace = nn.Parameter(0.02 * torch.randn(temporal))
        """v of the expected gap."""
        self.drift = nn.Parameter(0.02 * torch.randn(2, 2, temporal))
        """``[early or late, w or b, D]``"""
        self.minus = nn.Linear(2 * temporal + _KNOWN, d)
        self.query = nn.Linear(d, d)
        self.key = nn.Linear(config.distilled_dim, d, bias=False)
        self.value = nn.Linear(config.distilled_dim, d, bias=False)
        self.freshness = nn.Parameter(torch.zeros(2, facets))
        """How the two ages of a profile move the attention to each facet."""
        self.mix = nn.Linear(d, d, bias=False)
        self.hidden = nn.Linear(2 * d, 2 * d)
        self.out = nn.Linear(2 * d, d + temporal)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()
        self.sharpness = nn.Parameter(torch.tensor([1.0, 0.3]).repeat(FAMILIARITIES, 1))
        """``[11, 2]`` scales of the two halves of a score: temporal, static; by the item's familiarity."""
        self.lean = nn.Parameter(torch.zeros(FAMILIARITIES))
        """``[11]`` what an item gets for its familiarity alone."""

    # -- users ------------------------------------------------------------------------------------------------

    def users(self, asked: Asked, *, dropped: int | None = None) -> Tensor:
        """Vectors ``[n, D + d]`` of users: what meets an item's temporal vector, and what meets its static half.

        With ``dropped`` as if that facet (its number in :data:`FACETS`) had no text: what a reason is measured by.
        """
        config = self.config
        memory, told = self.memory(asked, dropped)
        minus, distilled = self._minus(asked, told), self._distilled(memory)
        weight = self._attention(minus, distilled, asked.age)
        attended = self.mix(self._weighted(weight, distilled))
        out = self.out(functional.relu(self.hidden(torch.cat((minus, attended), dim=1))))
        temporal, static = out[:, : config.temporal_dim], out[:, config.temporal_dim :]
        if config.residual:
            share = weight.mean(1)
            static = static + (share.unsqueeze(2) * memory * told.unsqueeze(2)).sum(1)
        return torch.cat((asked.temporal + temporal, static), dim=1)

    def memory(self, asked: Asked, dropped: int | None = None) -> tuple[Tensor, Tensor]:
        """Facet memory ``[n, 4, d]`` and whether the facet says anything ``[n, 4]``; else the null facet stands there.

        ``P ← P + g ⊙ (LN(W_f e_v) − P)`` over the versions v, oldest first, starting from the first that says anything.
        """
        texts = asked.facets.float()
        said = (texts != 0).any(3) & asked.valid.unsqueeze(2) & self.used
        if dropped is not None:
            said = said & (torch.arange(len(FACETS)) != dropped)
        versions = functional.layer_norm(torch.einsum("nvfw,fwd->nvfd", texts, self.facet), (self.config.dim,))
        gate = torch.sigmoid(self.gate)
        memory = torch.zeros_like(versions[:, 0])
        told = torch.zeros_like(said[:, 0])
        for version in range(versions.shape[1]):
            new, heard = versions[:, version], said[:, version].unsqueeze(2)
            after = torch.where(told.unsqueeze(2), memory + gate * (new - memory), new)
            memory = torch.where(heard, after, memory)
            told = told | said[:, version]
        return torch.where(told.unsqueeze(2), memory, self.null), told

    def _minus(self, asked: Asked, told: Tensor) -> Tensor:
        """``a_u [n, d]``: the temporal vector, the same projected to now, and how much there is to know."""
        temporal = asked.temporal
        projected = torch.zeros_like(temporal)
        if self.config.time_projection:
            # The expected gap of a Rayleigh process of intensity e^a.
            gap = torch.sqrt(math.pi / 2 * torch.exp(-(temporal @ self.pace).clamp(-8, 8)))
            late = torch.tanh(asked.away - gap)
            scale, shift = torch.where((late < 0).view(-1, 1, 1), self.drift[0], self.drift[1]).unbind(1)
            change = 1 + scale * late.unsqueeze(1) + shift
            projected = functional.layer_norm(temporal * change, (temporal.shape[1],))
        known = torch.cat((asked.age, told.any(1, keepdim=True).float()), dim=1)
        a: Tensor = self.minus(torch.cat((temporal, projected, known), dim=1))
        return a

    def _distilled(self, memory: Tensor) -> Tensor:
        """``[n, 4, k or d]``: the k dimensions of each facet that the scorer finds most telling, ``P · tanh(s)``."""
        if self.config.distillation == "off":
            return memory
        scores = memory * (self.scorer / self.scorer.norm())
        told = memory * torch.tanh(scores)
        best = scores.topk(self.config.kept, dim=2)
        if self.config.distillation == "ordered":
            return told.gather(2, best.indices)
        return told * torch.zeros_like(told).scatter(2, best.indices, 1.0)

    def _attention(self, minus: Tensor, distilled: Tensor, age: Tensor) -> Tensor:
        """Weights ``[n, heads, 4]`` over the facets, 1 in sum."""
        n, heads = minus.shape[0], self.config.heads
        if self.config.fusion == "mean":
            return torch.full((n, heads, len(FACETS)), 1 / len(FACETS))
        query = self.query(minus).view(n, heads, 1, -1)
        key = self.key(distilled).view(n, len(FACETS), heads, -1).transpose(1, 2)
        logits = (query * key).sum(3) / math.sqrt(query.shape[3]) + (age @ self.freshness).unsqueeze(1)
        return torch.softmax(logits, dim=2)

    def _weighted(self, weight: Tensor, distilled: Tensor) -> Tensor:
        """``[n, d]``"""
        n, heads = weight.shape[:2]
        value = self.value(distilled).view(n, len(FACETS), heads, -1).transpose(1, 2)
        attended: Tensor = (weight.unsqueeze(3) * value).sum(2).reshape(n, -1)
        return attended

    # -- items ------------------------------------------------------------------------------------------------

    def statics(self, texts: Tensor) -> Tensor:
        """Static halves ``[m, d]`` of items with text vectors ``texts [m, w]``; zeros stand for no text."""
        if not self.config.item_text:
            return self.no_text.expand(len(texts), -1)
        halves = functional.layer_norm(texts @ self.static, (self.config.dim,))
        return torch.where((texts != 0).any(1, keepdim=True), halves, self.no_text)

    def scores(self, users: Tensor, temporal: Tensor, statics: Tensor, met: Tensor) -> Tensor:
        """Logits ``[n, m]`` of items with temporal vectors ``[m, D]``, static halves ``[m, d]``, ``met [m]`` times."""
        config = self.config
        level = self.familiarity(met)
        scale, lean = self.sharpness[level], self.lean[level]
        moving, lasting = users[:, : config.temporal_dim], users[:, config.temporal_dim :]
        by_time = moving @ (temporal * (scale[:, :1] / math.sqrt(config.temporal_dim))).T
        by_text: Tensor = lasting @ (statics * (scale[:, 1:] / math.sqrt(config.dim))).T
        return by_time + by_text + lean

    def familiarity(self, met: Tensor) -> Tensor:
        """``[m]`` level of items that were met ``met [m]`` times: the doublings since once, up to 1,024 times.

        An item never met counts as met once: in learning it is always the one chosen, which must not show.
        """
        if not self.config.familiarity:
            return torch.zeros_like(met)
        return torch.log2(met.clamp(min=1).double()).long().clamp(max=FAMILIARITIES - 1)
