"""Each item's strongest partners by relation, renewed a few items at a time while the vectors go on changing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.growable import Growable
from dyngraph.state import State
from models.lrd.online import OnlineRelations
from models.lrd.posterior import log_posterior
from models.lrd.reconstruction import distmult


class Partners(NamedTuple):
    """Of n items, the strongest first."""

    items: Tensor
    """``[n, M]`` int64 item rows, 0 for none."""
    strength: Tensor
    """``[n, M]`` float32 in [0, 1]: the posterior's share of the relation times ``σ`` of its reconstruction score."""
    relation: Tensor
    """``[n, M]`` int64 which latent relation is the strongest, from 0."""


class RelationNeighbours:
    """At most ``most`` partners of every item under the latent relations of ``model``.

    Renewing an item looks at those it has and at others given, so that its cost does not grow with the catalogue.
    """

    def __init__(self, model: OnlineRelations, most: int) -> None:
        self._model, self._most = model, most
        self._items = Growable((most,), torch.int32)
        self._strength = Growable((most,), torch.float32)
        self._relation = Growable((most,), torch.int16)
        self.grow(1)

    def grow(self, items: int) -> None:
        """Make room for this many rows."""
        for part in (self._items, self._strength, self._relation):
            part.grow(items)

    def truncate(self, items: int) -> None:
        """Undo growth."""
        for part in (self._items, self._strength, self._relation):
            part.truncate(items)

    def of(self, items: Tensor) -> Partners:
        """The partners of item rows ``items [n]``."""
        return Partners(self._items.view[items].long(), self._strength.view[items], self._relation.view[items].long())

    @torch.no_grad()
    def strengths(self, item: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Of the pairs of rows ``item [n]`` and ``others [n, m]``: strength and latent relation, both ``[n, m]``."""
        model = self._model
        at, relation = model.relations.latent_at, model.network.relation
        q = log_posterior(model.past_halves(item).unsqueeze(1), model.candidate_halves(others))[:, :, 0].exp()
        score = distmult(model.vectors(item).unsqueeze(1), relation[at:], model.vectors(others))
        best = (q[..., at:] * torch.sigmoid(score)).clamp(max=1.0).max(dim=2)
        return best.values, best.indices

    def renew(self, items: Tensor, looked_at: Tensor) -> None:
        """Choose the partners of ``items [n]`` anew among those they have and ``looked_at [m]``."""
        if not self._model.relations.latent:
            return
        pool = torch.cat((self._items.view[items].long(), looked_at.expand(len(items), -1)), dim=1)
        strength, relation = self.strengths(items, pool)
        ordered, order = torch.sort(pool, dim=1, stable=True)
        twice = torch.zeros_like(pool, dtype=torch.bool)
        twice.scatter_(1, order[:, 1:], ordered[:, 1:] == ordered[:, :-1])
        strength = strength.masked_fill(twice | (pool == 0) | (pool == items.unsqueeze(1)), -1.0)
        best = torch.topk(strength, min(self._most, pool.shape[1]), dim=1)
        there = best.values > 0
        width = best.indices.shape[1]
        self._items.view[items, :width] = (pool.gather(1, best.indices) * there).int()
        self._strength.view[items, :width] = best.values * there
        self._relation.view[items, :width] = (relation.gather(1, best.indices) * there).short()

    def strongest(self, relation: int, most: int) -> list[tuple[int, int, float]]:
        """The strongest kept pairs of one latent relation: item row, partner row, strength."""
        strength = self._strength.view * ((self._relation.view == relation) & (self._items.view > 0))
        best = torch.topk(strength.flatten(), min(most, strength.numel()))
        width = self._most
        return [
            (place // width, int(self._items.view[place // width, place % width]), value)
            for place, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            if value > 0
        ]

    def usage(self) -> Tensor:
        """``[K]`` share of the kept pairs for which each latent relation is the strongest."""
        there = self._items.view > 0
        counts = torch.bincount(self._relation.view[there].long(), minlength=self._model.relations.latent)
        return counts / counts.sum().clamp(min=1)

    def state(self) -> State:
        """All partners."""
        return {"items": self._items.view, "strength": self._strength.view, "relation": self._relation.view}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, part in (("items", self._items), ("strength", self._strength), ("relation", self._relation)):
            part.replace(state[name])
