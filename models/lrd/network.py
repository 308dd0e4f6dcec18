"""LRD's trainable parts besides the tables of users and items, and what they compute from gathered vectors.

Source: "Sequential Recommendation with Latent Relations based on Large Language Model" (SIGIR 2024, doi
10.1145/3626772.3657762) as described there and in its authors' release, with RCF (SIGIR 2019) and KDA (TOIS 2021) as
recommenders. Off line vectors come from embedding tables; on line from rows that grow, ``v_i = MLP(text_i) +
residual_i``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.lrd.config import LrdConfig
from models.lrd.contexts import ContextMixing, relation_contexts
from models.lrd.decay import FourierDecay
from models.lrd.posterior import RelationPosterior, log_posterior, spread
from models.lrd.reconstruction import ranking_loss, reconstruction_loss
from models.lrd.relations import Relations


class Past(NamedTuple):
    """The latest events of B users, in any order."""

    items: Tensor
    """``[B, H, d]``"""
    known: Tensor
    """``[B, H]`` bool: which slots hold an event."""
    minutes: Tensor
    """``[B, H]`` how long before the query."""
    halves: Tensor | None = None
    """``[B, H, R]`` of the posterior, where it is read."""


class Candidates(NamedTuple):
    """C candidates of each of the B users."""

    items: Tensor
    """``[B, C, d]``"""
    values: Tensor
    """``[B, C, A, d]`` vectors of their attributes' values, zeros where there is none."""
    bias: Tensor
    """``[B, C]``"""
    halves: Tensor | None = None
    """``[B, C, R]`` of the posterior, where it is read."""


class Ends(NamedTuple):
    """Both items of B triplets."""

    head: Tensor
    """``[B, d]``"""
    tail: Tensor
    """``[B, d]``"""


class LrdNetwork(nn.Module):
    """RCF or KDA, with or without latent relations; holds no user and no item."""

    def __init__(self, config: LrdConfig, relations: Relations) -> None:
        super().__init__()
        if relations.latent != config.latent:
            raise ValueError(f"relations hold {relations.latent} latent ones, the settings {config.latent}")
        self.config, self.relations = config, relations
        self.relation = nn.Parameter(0.01 * torch.randn(len(relations), config.dim))
        self.mixing = ContextMixing(config.dim, config.heads, config.layers)
        self.decay = FourierDecay(len(relations), config.n_dft) if config.recommender == "kda" else None
        self.posterior = (
            RelationPosterior(config.text_dim, config.dim, len(relations), normalised=config.normalised)
            if config.reads_text
            else None
        )

        if self.posterior is not None:
            # Nearly flat, as in the release: else the entropy term, which pulls the harder the less flat q is, has q
            # fall onto one relation before there is anything to reconstruct with.
            for linear in (self.posterior.project, self.posterior.past, self.posterior.candidate):
                nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(self.posterior.candidate.bias)

    def scores(self, users: Tensor, past: Past, candidates: Candidates) -> Tensor:
        """``(u + m) · v_i + b_i`` as ``[B, C]``, of users ``[B, d]``; m is the mixed contexts of the candidate.

        Raises ValueError where the settings ask for the posterior and halves are missing.
        """
        asked = self._with_values(candidates.values) * candidates.items.unsqueeze(2)
        decay = self.decay(past.minutes) if self.decay is not None else None
        contexts = relation_contexts(past.items, past.known, asked, decay, self._gate(past, candidates))
        mixed = self.mixing(contexts.flatten(0, 1)).view_as(candidates.items)
        scores: Tensor = ((users.unsqueeze(1) + mixed) * candidates.items).sum(2) + candidates.bias
        return scores

    def reconstruction_loss(self, past: Past, drawn: Tensor, target: Tensor, halves: Tensor) -> Tensor:
        """L_LRD of true next items ``target [B, d]`` with ``halves [B, R]``, against ``drawn [B, H, d]`` past items."""
        config = self.config
        log_q = log_posterior(_there(past.halves), halves.unsqueeze(1))[:, 0]
        loss = reconstruction_loss(
            log_q,
            past.items,
            drawn,
            target,
            self.relation,
            past.known,
            leave_out=int(config.leave_one_latent),
            alpha=config.alpha,
            entropy=config.entropy,
        )
        if config.balance:
            loss = loss - config.balance * spread(log_q[past.known], self.relations.latent_at)
        return loss

    def triplet_loss(self, true: Ends, wrong: Ends, relation: Tensor, value: Tensor) -> Tensor:
        """L_KG: ``⟨v_h ⊙ (r + v_value), v_t⟩`` of true ends must beat that of ends of which one was drawn.

        ``relation [B]`` numbers, ``value [B, d]`` vectors, zeros where the relation has no values.
        """
        between = self.relation[relation] + value
        return ranking_loss(torch.stack([(ends.head * between * ends.tail).sum(1) for ends in (true, wrong)], dim=1))

    def _with_values(self, values: Tensor) -> Tensor:
        """``[B, C, R, d]`` relations, attributes with the candidates' values added."""
        start, stop = self.relations.attribute_at, self.relations.latent_at
        b, c = values.shape[:2]
        if start == stop:
            return self.relation.expand(b, c, -1, -1)
        before, own, after = self.relation[:start], self.relation[start:stop], self.relation[stop:]
        return torch.cat((before.expand(b, c, -1, -1), own + values, after.expand(b, c, -1, -1)), dim=2)

    def _gate(self, past: Past, candidates: Candidates) -> Tensor | None:
        """``R · q(r | h, i)``, so that a posterior which knows nothing changes nothing."""
        if not self.config.posterior_at_inference:
            return None
        return log_posterior(_there(past.halves), _there(candidates.halves)).exp() * len(self.relations)


def _there(halves: Tensor | None) -> Tensor:
    if halves is None:
        raise ValueError("these settings read the posterior; hand in the halves of past items and candidates")
    return halves
