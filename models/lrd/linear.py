"""LRD as it is learned on line: what each past item adds to a candidate, through each relation, is summed.

With linear mixing ``m = Σ_r g_r ⊙ c_r`` in place of self-attention over the contexts c_r, the score of RCF and KDA is

    u · v_i + b_i + Σ_{r,h} w(r, h, i) · ⟨v_i, g_r ⊙ v_h⟩,   w = decay_r(t − t_h) · κ(r, h, i) / |H|

where κ says how far relation r holds between h and i: 1 for "together", whether they share the value for an attribute,
``R q(r | h, i)`` for a latent one. Three departures from the release, each for the stream's sake: the posterior q is
part of the score (there it is not), which is how the text of an item that nobody has touched reaches its score; κ
stands in place of the softmax over the past, which cost twice as much and gained nothing (NDCG@10 .0933 with it, .0936
without, on the second half of the first 20,000 events of ml-100k); and each term can be named in a reason.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.lrd.config import LrdConfig
from models.lrd.decay import FourierDecay
from models.lrd.posterior import Halves, RelationPosterior, log_posterior
from models.lrd.relations import Relations


class Gathered(NamedTuple):
    """What is known of the past and the candidates of U users."""

    users: Tensor
    """``[U, d]``"""
    past: Tensor
    """``[U, H, d]``, zeros where there is no event"""
    known: Tensor
    """``[U, H]`` bool"""
    minutes: Tensor
    """``[U, H]`` before the query"""
    past_halves: Tensor
    """``[U, H, R]``"""
    past_values: Tensor
    """``[U, H, A]`` codes of attribute values, 0 for none"""
    items: Tensor
    """``[U, C, d]``"""
    halves: Tensor
    """``[U, C, R]``"""
    values: Tensor
    """``[U, C, A]``"""
    bias: Tensor
    """``[U, C]``"""


class LinearRelations(nn.Module):
    """Everything that is learned besides the rows of users and items."""

    def __init__(self, config: LrdConfig, relations: Relations) -> None:
        super().__init__()
        self.config, self.relations = config, relations
        count = len(relations)
        self.relation = nn.Parameter(0.1 * torch.randn(count, config.dim))
        self.mixing = nn.Parameter(torch.full((count, config.dim), 1.0 / count))
        self.decay = FourierDecay(count, config.n_dft) if config.recommender == "kda" else None
        self.posterior = RelationPosterior(config.text_dim, config.dim, count, normalised=config.normalised)
        self.amortised = nn.Linear(config.text_dim, config.dim, bias=False)

    def bases(self, texts: Tensor) -> Tensor:
        """``[..., d]`` what the texts ``[..., w]`` alone say of the items' vectors; zeros for no text.

        Of length d^¼, so that the product of two like ones is √d whatever the text model's scale.
        """
        made = functional.layer_norm(self.amortised(texts), (self.config.dim,)) * self.config.dim**-0.25
        based: Tensor = made * texts.any(-1, keepdim=True)
        return based

    def halves(self, texts: Tensor) -> Halves:
        """Of the posterior."""
        halves: Halves = self.posterior.halves(texts)
        return halves

    def scores(self, given: Gathered) -> Tensor:
        """``[U, C]``"""
        own = (given.items * given.users.unsqueeze(1)).sum(2) + given.bias
        return own + self.contributions(given).sum((2, 3))

    def contributions(self, given: Gathered) -> Tensor:
        """``[U, C, R, H]`` what each past item adds to each candidate's score through each relation."""
        (u, c, _), count = given.items.shape, len(self.relations)
        mixed = (given.past.unsqueeze(1) * self.mixing.view(1, count, 1, -1)).flatten(1, 2)
        weight = self._holds(given) * self.weight(given.known, given.minutes).unsqueeze(1)
        added: Tensor = weight * torch.bmm(given.items, mixed.transpose(1, 2)).view(u, c, count, -1)
        return added

    def weight(self, known: Tensor, minutes: Tensor) -> Tensor:
        """``[U, R, H]`` what past slots weigh by their age: decay over the number of events, 0 for empty slots."""
        share = known / known.sum(1, keepdim=True).clamp(min=1)
        if self.decay is None:
            return share.unsqueeze(1).expand(-1, len(self.relations), -1)
        aged: Tensor = self.decay(minutes).transpose(1, 2) * share.unsqueeze(1)
        return aged

    def _holds(self, given: Gathered) -> Tensor:
        """``κ [U, C, R, H]``"""
        q = log_posterior(given.past_halves, given.halves).exp().transpose(2, 3) * len(self.relations)
        together = torch.ones_like(q[:, :, :1])
        past, own = given.past_values.unsqueeze(1), given.values.unsqueeze(2)
        shared = ((past == own) & (own > 0)).transpose(2, 3).to(q.dtype)
        return torch.cat((together, shared, q[:, :, self.relations.latent_at :]), dim=2)
