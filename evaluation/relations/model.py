"""The network of ``models/lrd`` over tables of users and items: what the off-line trainer trains."""

from __future__ import annotations

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
    values: Tensor

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
        numbers = torch.from_numpy(values)
        self.register_buffer("values", torch.where(numbers > 0, numbers + self.n_items, 0), persistent=False)

    def scores(self, examples: Examples, candidates: Rows) -> Tensor:
        """``[B, C]`` scores of candidate item rows ``[B, C]``."""
        halves = None
        if self.config.posterior_at_inference:
            halves = self._halves(examples.past, candidates)
        table = self.table()
        return self._scores(table, self._past(table, examples, halves), examples, candidates, halves)

    def losses(
        self, examples: Examples, wrong: Rows, drawn_past: Rows | None, triplets: Triplets | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Ranking, reconstruction and knowledge-graph losses; None for a part that nothing was drawn for.

        ``wrong [B, n]`` items to rank the targets against, ``drawn_past [B, H]`` items that the users did not take.
        """
        candidates = np.concatenate((examples.targets[:, None], wrong), axis=1)
        halves = self._halves(examples.past, candidates) if self.config.reads_text else None
        table = self.table()
        past = self._past(table, examples, halves)
        ranking = ranking_loss(self._scores(table, past, examples, candidates, halves))
        reconstruction = knowledge = None
        if drawn_past is not None and halves is not None:
            target = _rows_of(table, _tensor(examples.targets))
            drawn = _rows_of(table, _tensor(drawn_past))
            reconstruction = self.network.reconstruction_loss(past, drawn, target, halves.candidate[:, 0])
        if triplets is not None:
            knowledge = self._knowledge_loss(table, triplets)
        return ranking, reconstruction, knowledge

    def table(self) -> Tensor:
        """Vectors ``[1 + items + values, d]`` of all entities."""
        if self.amortised is None:
            return self.entities
        told = self.amortised(self.texts)
        return self.entities + functional.pad(told, (0, 0, 0, len(self.entities) - len(told)))

    def _past(self, table: Tensor, examples: Examples, halves: Halves | None) -> Past:
        rows = _tensor(examples.past)
        own = halves.past if halves is not None else None
        return Past(_rows_of(table, rows), rows > 0, torch.from_numpy(examples.minutes), own)

    def _scores(self, table: Tensor, past: Past, examples: Examples, candidates: Rows, halves: Halves | None) -> Tensor:
        rows = _tensor(candidates)
        asked = Candidates(
            _rows_of(table, rows),
            _rows_of(table, self.values[rows]),
            self.bias[rows],
            halves.candidate if halves is not None else None,
        )
        return self.network.scores(functional.embedding(_tensor(examples.users), self.users), past, asked)

    def _halves(self, past: Rows, candidates: Rows) -> Halves:
        """Halves ``[B, H, R]`` of past items, ``[B, C, R]`` of candidates; each distinct item is computed once."""
        assert self.network.posterior is not None  # asked for where the settings read text
        distinct, where = np.unique(np.concatenate((past, candidates), axis=1), return_inverse=True)
        halves = self.network.posterior.halves(self.texts[_tensor(distinct)])
        places = _tensor(where.reshape(len(past), -1))
        slots = past.shape[1]
        return Halves(halves.past[places[:, :slots]], halves.candidate[places[:, slots:]])

    def _knowledge_loss(self, table: Tensor, drawn: Triplets) -> Tensor:
        def of(rows: Rows) -> Tensor:
            return _rows_of(table, _tensor(rows))

        value = of(np.where(drawn.value > 0, drawn.value + self.n_items, 0))
        return self.network.triplet_loss(
            Ends(of(drawn.head), of(drawn.tail)),
            Ends(of(drawn.wrong_head), of(drawn.wrong_tail)),
            _tensor(drawn.relation),
            value,
        )


def _rows_of(table: Tensor, rows: Tensor) -> Tensor:
    """Vectors ``[..., d]`` of entity rows; row 0 learns nothing."""
    return functional.embedding(rows, table, padding_idx=0)


def _tensor(rows: Rows) -> Tensor:
    return torch.from_numpy(rows)
