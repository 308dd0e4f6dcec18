"""From scored candidates to a list: the best, or a more varied choice of good ones, and perhaps one place to explore.

Scores and reasons stay what the ranker gave; what changes here is which candidates stand where.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.order import Moment
from dyngraph.state import Stateful

EXPLORED = "exploration"
"""The source that a list names for an explored place."""
NEW_HERE = "new here: shown to find out whether people like it"
"""The reason that is given first there: without it the item would stand elsewhere, or nowhere."""


class Rerank(Protocol):
    """Orders the best candidates anew. Reads only."""

    def pool(self, k: int) -> int:
        """How many candidates it wants to see for a list of ``k``."""
        ...

    def order(self, graph: DynamicGraph, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """Columns ``[U, min(k, P)]`` of ``items [U, P]`` (rows, best first by ``scores [U, P]``), each once.

        Columns of row 0 (score -inf) stand last.
        """
        ...


class Choice(NamedTuple):
    """What an explorer shows."""

    row: int
    probability: float
    """The chance of just this row, given who asks, when, and what could be shown."""


class Explorer(Stateful, Protocol):
    """Fills one place of a list with something to learn about.

    ``choose`` reads only, so the same list can be made again; everything that is learned comes from the log.
    """

    @property
    def place(self) -> int:
        """The place of a list that is given away, from 1; 0 for the last."""
        ...

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        ...

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        ...

    def propose(self, graph: DynamicGraph) -> Tensor:
        """Rows ``[m]`` that have to be among the candidates of every list."""
        ...

    def choose(self, graph: DynamicGraph, user: int, at: Moment, shown: Tensor, candidates: Tensor) -> Choice | None:
        """One of ``candidates [n]`` (rows that may be shown to the user row at that moment), None to leave the list be.

        ``shown [k]`` are the rows of the list as it stands without.
        """
        ...

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Take in the batch that is being committed; ``graph`` still stands as it was before the batch."""
        ...

    def forget_user(self, user: int) -> None:
        """Drop what is kept of one user."""
        ...


class Picked(NamedTuple):
    """The places of U lists."""

    columns: Tensor
    """``[U, k]`` columns of the candidates; padding columns where there are fewer."""
    probability: Tensor
    """``[U, k]`` float64 chance of showing what an explorer chose, NaN in all other places."""


def pick(
    graph: DynamicGraph,
    users: Tensor,
    at: Moment,
    items: Tensor,
    scores: Tensor,
    k: int,
    *,
    rerank: Rerank | None = None,
    explorer: Explorer | None = None,
) -> Picked:
    """Lists of at most ``k`` for ``users [U]`` (rows) from ``items [U, C]`` (rows) and their ``scores [U, C]``.

    ``scores`` are -inf where ``items`` are 0. ``at`` is the moment of the lists.
    """
    width = min(k, scores.shape[1])
    if rerank is None:
        columns = torch.topk(scores, width, dim=1).indices
    else:
        best = torch.topk(scores, min(rerank.pool(k), scores.shape[1]), dim=1)
        order = rerank.order(graph, items.gather(1, best.indices), best.values, width)
        columns = best.indices.gather(1, order)
    probability = torch.full(columns.shape, torch.nan, dtype=torch.float64)
    if explorer is not None:
        for place, user in enumerate(users.tolist()):
            _explore(explorer, graph, user, at, items[place], columns[place], probability[place])
    return Picked(columns, probability)


def _explore(
    explorer: Explorer, graph: DynamicGraph, user: int, at: Moment, items: Tensor, columns: Tensor, probability: Tensor
) -> None:
    """Give one place of the list ``columns [k]`` away; what stood there moves down, and the last one out."""
    shown = items[columns]
    listed = int((shown > 0).sum())
    # A list of one would be nothing but the trial; one that is not full has everything that may be shown.
    if listed < len(columns) or listed < 2:
        return
    choice = explorer.choose(graph, user, at, shown, items[(items > 0) & ~torch.isin(items, shown)])
    if choice is None:
        return
    place = min(explorer.place or listed, listed) - 1
    columns[place + 1 :] = columns[place:-1].clone()
    columns[place] = int((items == choice.row).nonzero()[0, 0])
    probability[place] = choice.probability
