"""The rank of each held-out item among all items of the catalogue, the user's history masked and not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.metrics import hit_rate, middle_rank, ndcg
from models.sequential.histories import Histories, Places

CHUNK = 512
"""Questions scored at once: 12,101 items take 50 MB as float64."""

FIGURES = ("HR@5", "HR@10", "NDCG@5", "NDCG@10")


class Scoring(Protocol):
    """What can be ranked."""

    def scores(self, places: Places) -> Tensor:
        """``[B, 1 + n]`` of all items, row 0 being nobody's, for what is known before each place."""


class FullRanks(NamedTuple):
    """Middle ranks ``[B]`` of the true items."""

    masked: NDArray[np.float64]
    """The user's earlier items are no candidates; a true item that is among them stays one."""
    unmasked: NDArray[np.float64]
    """As DuoRec's release ranks."""


def full_ranks(model: Scoring, histories: Histories, places: Places) -> FullRanks:
    """Rank the item at each place among all. Ties share their middle rank; raises ValueError for NaN scores."""
    pairs = [FullRanks(*_chunk_ranks(model, histories, some)) for some in _chunks(places)]
    return FullRanks(*(np.concatenate(ranks) for ranks in zip(*pairs, strict=True)))


def figures(ranks: NDArray[np.float64]) -> dict[str, float]:
    """Hit rate and NDCG at 5 and 10, in the order and under the names of :data:`FIGURES`."""
    return dict(zip(FIGURES, [hit_rate(ranks, 5), hit_rate(ranks, 10), ndcg(ranks, 5), ndcg(ranks, 10)], strict=True))


def _chunks(places: Places) -> Iterator[Places]:
    return (places[at : at + CHUNK] for at in range(0, len(places), CHUNK))


def _chunk_ranks(model: Scoring, histories: Histories, places: Places) -> Iterator[NDArray[np.float64]]:
    with torch.inference_mode():
        scores = model.scores(places).to("cpu", torch.float64, copy=True).numpy()
    scores[:, 0] = -np.inf
    targets = histories.items[places]
    unmasked = middle_rank(scores, targets)
    each = np.arange(len(places))
    own = scores[each, targets]
    known = histories.known(places)
    row = np.repeat(each, known)
    before = np.arange(known.sum()) - np.repeat(np.cumsum(known) - known, known) + histories.starts[places][row]
    scores[row, histories.items[before]] = -np.inf
    scores[each, targets] = own
    return iter((middle_rank(scores, targets), unmasked))
