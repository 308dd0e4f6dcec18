"""Imagined items by name: what a graph says of single items, added to a model's scores.

A graph's vector has to say in d numbers which of all items its user was imagined to take. As on line, where an imagined
item is a candidate with its score as a feature, this lets the graph name them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dyngraph.reasoning_store import BEST_SCORE
from evaluation.metrics import ndcg
from evaluation.reasoning.full_ranking import Scoring, full_ranks
from models.llmrg.chains import PlacedChains
from models.sequential.histories import Places

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Tried on validation users; in units of the model's scores, for an item that was verified without doubt."""


class ByName:
    """Scores of ``model``, and ``weight`` times the verification score (0 to 1) of every item that was imagined."""

    def __init__(self, model: Scoring, chains: PlacedChains, weight: float) -> None:
        self._model, self._chains, self._weight = model, chains, weight

    def scores(self, places: Places) -> Tensor:
        """``[B, 1 + n]`` of all items for what is known before each place."""
        scores = self._model.scores(places)
        known = self._chains.at(places)
        users, items = (torch.from_numpy(column) for column in (known.imagined_user, known.imagined_item))
        worth = torch.from_numpy(known.imagined_score).to(scores) * (self._weight / BEST_SCORE)
        return scores.index_put((users.to(scores.device), items.to(scores.device)), worth, accumulate=True)


def weight_of(model: Scoring, chains: PlacedChains, validation: Places, weights: Sequence[float] = WEIGHTS) -> float:
    """The weight whose NDCG@10 (history not masked) at the ``validation`` places is highest, the first among equals."""
    found = [
        ndcg(full_ranks(ByName(model, chains, weight), chains.histories, validation).unmasked, 10) for weight in weights
    ]
    return weights[max(range(len(weights)), key=found.__getitem__)]
