"""From graph state to the inputs of an embedding, and from those to the embedding.

What is gathered here holds no learned function of the asking node, so the very same inputs serve reads (at once, in
numpy) and learning (later, on the gradient path).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from dyngraph.arrays import Array, Arrays
from dyngraph.nodes import NodeStore
from dyngraph.time_encoding import TimeEncoding
from models.tgn.config import TYPE_PLACES

DAY_MS = 86_400_000.0

ONE_HOT = torch.eye(TYPE_PLACES)
"""``[types, types]`` a row for each event type."""


class Slots(NamedTuple):
    """What n nodes attend to, one layer deep or more."""

    nodes: Array
    """``[n, K]`` rows of the neighbours, 0 where masked."""
    x: Array
    """``[n, K, D]`` neighbour vector, one-hot type, value, features and encoded age of each edge; without the neighbour
    vector where a deeper layer has to give it."""
    mask: Array
    """``[n, K]`` bool."""
    below: Near | None
    """What the neighbours' vectors are computed from by a deeper layer."""


class Near(NamedTuple):
    """Neighbours as asking nodes of their own."""

    h: Array
    """``[n, K, d]``"""
    slots: Slots
    """With two leading dimensions ``[n, K, …]``."""


class Gatherer:
    """Gathers slots from the stores of a graph.

    ``one_hot`` is :data:`ONE_HOT` as an array of ``xp``; ``seen(side, rows)`` gives the vectors ``[..., d]`` that
    queries and neighbours use of a side's nodes.
    """

    def __init__(
        self,
        xp: Arrays,
        clock: TimeEncoding,
        one_hot: Array,
        stores: tuple[NodeStore, NodeStore],
        seen: Callable[[int, Array], Array],
    ) -> None:
        self._xp, self._clock, self._one_hot, self._stores, self._seen = xp, clock, one_hot, stores, seen

    def edges(self, types: Array, features: Array, elapsed: Array) -> Array:
        """``types [...]``, ``features [..., 1 + E]``, ``elapsed [...]`` (int64 ms) to ``[..., 11 + E + T]``."""
        return self._xp.join(self._parts(types, features, elapsed))

    def _parts(self, types: Array, features: Array, elapsed: Array) -> tuple[Array, Array, Array]:
        return self._xp.take(self._one_hot, types), features, self._clock.encode(self._xp, elapsed)

    def slots(self, side: int, rows: Array, ts: Array, seq: Array, depth: int) -> Slots:
        """What ``rows [n]`` of ``side`` attend to at ``(ts, seq)``, each ``[n]``, with ``depth`` layers."""
        near = self._stores[side].neighbours.gathered(rows, ts, seq)
        edges = self._parts(near.types, near.edges, ts[:, None] - near.ts)
        h = self._seen(1 - side, near.nodes)
        if depth == 1:
            return Slots(near.nodes, self._xp.join((h, *edges)), near.mask, None)
        n, k = near.nodes.shape
        nodes = near.nodes.reshape(-1)
        # All layers look from the same moment: what the neighbours knew by now, not only by the time of the edge.
        deeper = self.slots(1 - side, nodes, self._xp.repeated(ts, k), self._xp.repeated(seq, k), depth - 1)
        below = Near(h, changed(deeper, lambda part: part.reshape(n, k, *part.shape[1:])))
        return Slots(near.nodes, self._xp.join(edges), near.mask, below)

    def away(self, side: int, rows: Array, ts: Array) -> Array:
        """``[n]`` float32 ``log1p`` of the days from the last event of ``rows`` to ``ts``; 0 before the first."""
        elapsed = self._stores[side].elapsed(rows, ts)
        return self._xp.floats(self._xp.log1p(elapsed / DAY_MS))


def changed(slots: Slots, change: Callable[[Array], Array]) -> Slots:
    """Slots with every array changed."""
    below = slots.below and Near(change(slots.below.h), changed(slots.below.slots, change))
    return Slots(change(slots.nodes), change(slots.x), change(slots.mask), below)


Layer = Callable[[Array, Array, Array], Array]
"""``(h [n, d], x [n, K, D], mask [n, K])`` to ``[n, d]``."""


def through_layers(xp: Arrays, own: Sequence[Layer], far: Sequence[Layer], h: Array, slots: Slots) -> Array:
    """Embeddings ``[n, d]`` of nodes with vectors ``h [n, d]``; ``own`` and ``far`` are the layers of both sides."""
    x = slots.x
    if slots.below is not None:
        n, k = slots.mask.shape
        flat = changed(slots.below.slots, lambda part: part.reshape(n * k, *part.shape[2:]))
        near = through_layers(xp, far[:-1], own[:-1], slots.below.h.reshape(n * k, h.shape[1]), flat)
        x = xp.join((near.reshape(n, k, h.shape[1]), x))
    return own[-1](h, x, slots.mask)
