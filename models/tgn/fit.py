"""Batch training over epochs with early stopping, for research: the live step, taken over the same events again.

Every epoch replays the events from an empty graph through :func:`dyngraph.advance.advance`, so what is trained here is
what serves: same order, same negatives never written, same strictly earlier neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple

from dyngraph.advance import advance
from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from models.tgn.encoder import TGN


class Fitted(NamedTuple):
    """What training left behind."""

    graph: DynamicGraph
    """The graph at the end of the training events, as the kept epoch left it. A memory belongs to the weights that made
    it: rebuilt under others it is another one."""
    epoch: int
    """The epoch that was kept, from 1."""
    scores: list[float]
    """What ``validate`` said after each epoch."""


def fit(
    encoder: TGN,
    empty: Callable[[], DynamicGraph],
    batches: Callable[[], Iterable[EventBatch]],
    *,
    epochs: int,
    validate: Callable[[DynamicGraph], float] | None = None,
    patience: int = 3,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> Fitted:
    """Train ``encoder`` in place.

    ``empty`` makes a graph without events that knows the ids of ``batches`` (rows as in these); ``validate`` scores the
    encoder on later events, larger is better, and may take them into the graph: what it did is undone. With it, the
    best epoch is kept and training ends after ``patience`` epochs without a better one; without, the last is kept.
    ``tick`` is told how many events each batch had. Raises ValueError for no epochs at all.
    """
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: training takes at least 1")
    kept, best, scores = 0, (encoder.state(), empty().state()), list[float]()
    graph = empty()
    for epoch in range(1, epochs + 1):
        graph = empty()
        encoder.grow(*graph.sizes())
        encoder.use_weights(graph, encoder.weights(), encoder.version)
        for number, batch in enumerate(batches()):
            advance(graph, encoder, batch, learn=True, seed=(seed * 1_000 + epoch) * 1_000_003 + number)
            if tick is not None:
                tick(len(batch))
        if validate is None:
            kept = epoch
            continue
        now = copy.deepcopy((encoder.state(), graph.state()))
        scores.append(validate(graph))
        if scores[-1] >= max(scores):
            kept, best = epoch, now
        elif epoch - kept >= patience:
            break
    if validate is not None:
        encoder.load_state(best[0])
        graph.load_state(best[1])
    return Fitted(graph, kept, scores)
