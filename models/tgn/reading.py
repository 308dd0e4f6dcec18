"""From graph state to the inputs of an embedding, and from those to the embedding.

What is gathered here holds no learned function of the asking node, so the very same inputs serve reads (at once, in
numpy) and learning (later, on the gradient path).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from dyngraph.arrays import Array, Arrays
from dyngraph.nodes import NodeStore
from dyngraph.time_encoding import TimeEncoding
from models.tgn.config import TYPE_PLACES
from models.tgn.formulas import attended
from models.tgn.sides import Folded

DAY_MS = 86_400_000.0

_ONE_HOT = torch.eye(TYPE_PLACES)


class Slots(NamedTuple):
    """What n nodes attend to, one layer deep or more."""

    nodes: Array
    """``[n, K]`` rows of the neighbours, 0 where masked."""
    near: Array | Near
    """``[n, K, d]`` vectors of the neighbours, or what those of a deeper layer are computed from."""
    edges: Array
    """``[n, K, 11 + E + T]`` one-hot type, value, features and encoded age of the edges."""
    mask: Array
    """``[n, K]`` bool."""


class Near(NamedTuple):
    """Neighbours as asking nodes of their own."""

    h: Array
    """``[n, K, d]``"""
    slots: Slots
    """With two leading dimensions ``[n, K, …]``."""


class Gatherer:
    """Gathers slots from the stores of a graph.

    ``seen(side, rows)`` gives the vectors ``[..., d]`` that queries and neighbours use of a side's nodes.
    """

    def __init__(
        self, xp: Arrays, clock: TimeEncoding, stores: tuple[NodeStore, NodeStore], seen: Callable[[int, Array], Array]
    ) -> None:
        self._xp, self._clock, self._stores, self._seen = xp, clock, stores, seen
        self._one_hot = xp.of(_ONE_HOT)

    def edges(self, types: Array, features: Array, elapsed: Array) -> Array:
        """``types [...]``, ``features [..., 1 + E]``, ``elapsed [...]`` (int64 ms) to ``[..., 11 + E + T]``."""
        phases = self._clock.encode(self._xp, elapsed)
        return self._xp.join((self._xp.take(self._one_hot, types), features, phases))

    def slots(self, side: int, rows: Array, ts: Array, seq: Array, depth: int) -> Slots:
        """What ``rows [n]`` of ``side`` attend to at ``(ts, seq)``, each ``[n]``, with ``depth`` layers."""
        near = self._stores[side].neighbours.gathered(rows, ts, seq)
        edges = self.edges(near.types, near.edges, ts[:, None] - near.ts)
        if depth == 1:
            return Slots(near.nodes, self._seen(1 - side, near.nodes), edges, near.mask)
        n, k = near.nodes.shape
        nodes = near.nodes.reshape(-1)
        # All layers look from the same moment: what the neighbours knew by now, not only by the time of the edge.
        deeper = self.slots(1 - side, nodes, self._xp.repeated(ts, k), self._xp.repeated(seq, k), depth - 1)
        below = Near(
            self._seen(1 - side, near.nodes), changed(deeper, lambda part: part.reshape(n, k, *part.shape[1:]))
        )
        return Slots(near.nodes, below, edges, near.mask)

    def away(self, side: int, rows: Array, ts: Array) -> Array:
        """``[n]`` float32 ``log1p`` of the days from the last event of ``rows`` to ``ts``; 0 before the first."""
        elapsed = self._stores[side].elapsed(rows, ts)
        return self._xp.floats(self._xp.log1p(elapsed / DAY_MS))


def changed(slots: Slots, change: Callable[[Array], Array]) -> Slots:
    """Slots with every array changed."""
    near = slots.near
    below = Near(change(near.h), changed(near.slots, change)) if isinstance(near, Near) else change(near)
    return Slots(change(slots.nodes), below, change(slots.edges), change(slots.mask))


def through_layers(xp: Arrays, own: Folded, far: Folded, h: Array, slots: Slots, depth: int) -> Array:
    """Embeddings ``[n, d]`` of nodes with vectors ``h [n, d]`` after ``depth`` attention layers."""
    near = slots.near
    if isinstance(near, Near):
        n, k = slots.mask.shape
        flat = changed(near.slots, lambda part: part.reshape(n * k, *part.shape[2:]))
        near = through_layers(xp, far, own, near.h.reshape(n * k, -1), flat, depth - 1).reshape(n, k, -1)
    return attended(xp, own.layers[depth - 1], h, xp.join((near, slots.edges)), slots.mask)
