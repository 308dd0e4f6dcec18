"""The network of ``models/lrd`` over tables of users and items: what the off-line trainer trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.relations.examples import Examples
from evaluation.relations.knowledge import Triplets
from models.lrd.config import LrdConfig
from models.lrd.network import Candidates, Ends, LrdNetwork, Past
from models.lrd.posterior import Halves
from models.lrd.reconstruction import ranking_loss
from models.lrd.relations import Relations

Rows = NDArray[np.int64]


class TabledLrd(nn.Module):
    """Embeddings of users, of entities (items, then attribute values) and item biases, beside the network."""

    texts: Tensor

    def __init__(
        self, config: LrdConfig, relations: Relations, n_users: int, values: Rows, n_values: int, texts: Tensor
    ) -> None:
        """``values [1 + items, A]`` are numbers of attribute values from 1, ``texts`` ``[1 + items, w]`` vectors."""
        super().__init__()
        self.config = config
        self.n_items = len(values) - 1
        self.network = LrdNetwork(config, relations)
        self.users = nn.Parameter(0.01 * torch.randn(n_users + 1, config.dim))
        self.entities = nn.Parameter(0.01 * torch.randn(self.n_items + n_values + 1, config.dim))
        """Row 0 is nothing and stays zero."""
        self.bias = nn.Parameter(torch.zeros(self.n_items + 1))
        self.amortised = nn.Linear(config.text_dim, config.dim, bias=False) if config.amortised else None
        if self.amortised is not None:
            nn.init.normal_(self.amortised.weight, std=0.01)
        with torch.no_grad():
            self.entities[0] = 0
        self.register_buffer("texts", texts, persistent=False)
        self.values = np.where(values > 0, values + self.n_items, 0)
        """``[1 + items, A]`` entity rows of attribute values, 0 for none."""

    def scores(self, examples: Examples, candidates: Rows) -> Tensor:
        """``[B, C]`` scores of candidate item rows ``[B, C]``."""
        halves = None
        if self.config.posterior_at_inference:
            halves = self._halves(examples.past, candidates)
        past, items, values = self._gathered(examples.past, candidates, self._values_of(candidates))
        return self.network.scores(
            self._users_of(examples),
            self._past(examples, past, halves),
            self._candidates(candidates, items, values, halves),
        )

    def losses(
        self, examples: Examples, wrong: Rows, drawn_past: Rows | None, triplets: Triplets | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Ranking, reconstruction and knowledge-graph losses; None for a part that nothing was drawn for.

        ``wrong [B, n]`` items to rank the targets against, ``drawn_past [B, H]`` items that the users did not take.
        """
        candidates = np.concatenate((examples.targets[:, None], wrong), axis=1)
        halves = self._halves(examples.past, candidates) if self.config.reads_text else None
        asked = [examples.past, candidates, self._values_of(candidates)]
        asked += [drawn_past] if drawn_past is not None else []
        asked += self._ends_of(triplets) if triplets is not None else []
        past_items, items, values, *rest = self._gathered(*asked)
        past = self._past(examples, past_items, halves)
        ranking = ranking_loss(
            self.network.scores(self._users_of(examples), past, self._candidates(candidates, items, values, halves))
        )
        reconstruction = knowledge = None
        if drawn_past is not None:
            drawn = rest.pop(0)
            if halves is not None:
                reconstruction = self.network.reconstruction_loss(past, drawn, items[:, 0], halves.candidate[:, 0])
        if triplets is not None:
            head, tail, wrong_head, wrong_tail, value = rest
            knowledge = self.network.triplet_loss(
                Ends(head, tail), Ends(wrong_head, wrong_tail), torch.from_numpy(triplets.relation), value
            )
        return ranking, reconstruction, knowledge

    def table(self) -> Tensor:
        """Vectors ``[1 + items + values, d]`` of all entities."""
        if self.amortised is None:
            return self.entities
        told = self.amortised(self.texts)
        return self.entities + functional.pad(told, (0, 0, 0, len(self.entities) - len(told)))

    def _gathered(self, *rows: Rows) -> Sequence[Tensor]:
        """Vectors ``[..., d]`` of entity rows ``[...]`` each; row 0 learns nothing.

        One look-up for all: the gradient of each is as large as the table.
        """
        flat = torch.from_numpy(np.concatenate([some.ravel() for some in rows]))
        together = functional.embedding(flat, self.table(), padding_idx=0)
        found = torch.split(together, [some.size for some in rows])
        return [part.view(*some.shape, -1) for part, some in zip(found, rows, strict=True)]

    def _values_of(self, candidates: Rows) -> Rows:
        """Entity rows ``[B, C, A]`` of the candidates' attribute values."""
        return self.values[candidates]

    def _ends_of(self, drawn: Triplets) -> list[Rows]:
        """Entity rows ``[B]`` of heads, tails, drawn heads, drawn tails and values."""
        value = np.where(drawn.value > 0, drawn.value + self.n_items, 0)
        return [drawn.head, drawn.tail, drawn.wrong_head, drawn.wrong_tail, value]

    def _users_of(self, examples: Examples) -> Tensor:
        return functional.embedding(torch.from_numpy(examples.users), self.users)

    def _past(self, examples: Examples, items: Tensor, halves: Halves | None) -> Past:
        known = torch.from_numpy(examples.past > 0)
        return Past(items, known, torch.from_numpy(examples.minutes), halves.past if halves is not None else None)

    def _candidates(self, rows: Rows, items: Tensor, values: Tensor, halves: Halves | None) -> Candidates:
        bias = self.bias[torch.from_numpy(rows)]
        return Candidates(items, values, bias, halves.candidate if halves is not None else None)

    def _halves(self, past: Rows, candidates: Rows) -> Halves:
        """Halves ``[B, H, R]`` of past items, ``[B, C, R]`` of candidates; each distinct item is computed once."""
        assert self.network.posterior is not None  # asked for where the settings read text
        distinct, where = np.unique(np.concatenate((past, candidates), axis=1), return_inverse=True)
        halves = self.network.posterior.halves(self.texts[torch.from_numpy(distinct)])
        places = torch.from_numpy(where.reshape(len(past), -1))
        slots = past.shape[1]
        return Halves(halves.past[places[:, :slots]], halves.candidate[places[:, slots:]])
