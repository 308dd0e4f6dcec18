"""What queries see of the graph: node vectors as of their last renewal, slots, embeddings. Reads only, renewals apart.

Node vectors (memory, static and text vectors in one sum) are kept beside the graph's memory, because every list reads
thousands of them and an event changes two.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dyngraph.arrays import Array, Arrays
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.nodes import NodeStore, RawMessages
from dyngraph.state import State
from dyngraph.time_encoding import TimeEncoding
from models.tgn.config import TGNConfig
from models.tgn.examples import Inputs
from models.tgn.formulas import attended, projected, updated
from models.tgn.reading import ONE_HOT, Gatherer, changed, through_layers
from models.tgn.sides import Folded, Side, frozen

BLOCK = 64
"""Nodes whose slots are attended to at a time on a CPU."""


class View:
    """Users are side 0, items side 1."""

    def __init__(self, config: TGNConfig, sides: tuple[Side, Side], arrays: Arrays, device: torch.device | str) -> None:
        self._config, self._sides, self._arrays = config, sides, arrays
        self._clock, self._one_hot = TimeEncoding(config.time_dim), arrays.of(ONE_HOT)
        self._seen = tuple(Growable((config.dim,), torch.float32, 0, arrays, device) for _ in sides)
        self._folded: tuple[Folded, Folded] | None = None

    # -- size and renewal -------------------------------------------------------------------------------------

    def grow(self, lengths: tuple[int, int]) -> None:
        """Make room; a new node is seen as its static vector. Static vectors have grown before."""
        for side, seen, length in zip(self._sides, self._seen, lengths, strict=True):
            start = len(seen)
            if length > start:
                seen.grow(length)
                seen.view[start:] = side.static[torch.arange(start, length, device=seen.view.device)]

    def truncate(self, lengths: tuple[int, int]) -> None:
        """Undo growth."""
        for seen, length in zip(self._seen, lengths, strict=True):
            seen.truncate(length)

    def weights_changed(self) -> None:
        """Arrange weights anew at the next use."""
        self._folded = None

    def weights(self) -> tuple[Folded, Folded]:
        """Weights of both sides as the formulas take them."""
        if self._folded is None:
            with torch.no_grad():
                user, item = (frozen(self._arrays, side.folded()) for side in self._sides)
            self._folded = user, item
        return self._folded

    def renew(self, graph: DynamicGraph, side: int, rows: Array, applied: Array | None = None) -> None:
        """Renew what is seen of distinct ``rows``; ``applied [n, d]`` is their memory, where it is at hand."""
        seen = self._seen[side].rows
        seen[rows] = self._fresh(graph, side, rows, applied)
        if self._arrays.fixed_shapes:
            seen[0] = 0

    def renew_all(self, graph: DynamicGraph) -> None:
        """Renew what is seen of every node, the null node apart."""
        for side, seen in enumerate(self._seen):
            self.renew(graph, side, self._arrays.count_to(len(seen) - 1) + 1)

    def forget_user(self, user: int) -> None:
        """See a user as one that is new."""
        self._seen[0].view[user] = self._sides[0].static[torch.tensor(user)]

    # -- node vectors -----------------------------------------------------------------------------------------

    def memory(self, store: NodeStore, side: int, rows: Array) -> Array:
        """Memory ``[n, d]`` with what waits applied."""
        xp = self._arrays
        if self._config.cache:
            return xp.take(store.applied, rows)
        raw = store.waiting(rows)
        return xp.where(raw.pending[:, None], self.update(side, raw.own, raw.message), raw.own)

    def update(self, side: int, memory: Array, message: Array) -> Array:
        """Memory ``[n, d]`` after ``message [n, m]``."""
        updater = self.weights()[side].updater
        assert updater is not None
        return updated(self._arrays, updater, memory, message)

    def _h(self, graph: DynamicGraph, side: int, rows: Array) -> Array:
        """Vectors ``[..., d]`` of ``rows [...]``."""
        if self._config.cache:
            return self._arrays.take(self._seen[side].rows, rows)
        return self._fresh(graph, side, rows.reshape(-1), None).reshape(*rows.shape, self._config.dim)

    def _fresh(self, graph: DynamicGraph, side: int, rows: Array, memory: Array | None) -> Array:
        """Vectors ``[n, d]`` computed from memory, static vectors and text as they are now."""
        xp, store = self._arrays, stores(graph)[side]
        h = xp.take(self._sides[side].static.rows, rows)
        if self._config.memory != "none":
            h = h + (self.memory(store, side, rows) if memory is None else memory)
        text = self.weights()[side].text
        return h if text is None else h + xp.take(store.vectors, rows) @ text

    # -- embeddings -------------------------------------------------------------------------------------------

    def gatherer(self, graph: DynamicGraph) -> Gatherer:
        """Gathers slots of ``graph`` with node vectors as this view has them."""
        return Gatherer(self._arrays, self._clock, self._one_hot, stores(graph), partial(self._h, graph))

    def embed(self, graph: DynamicGraph, side: int, rows: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """Embeddings ``[n, d]`` of ``rows [n]`` at ``(ts, seq)``, each ``[n]``."""
        of = self._arrays.of
        with torch.no_grad():
            z: Tensor = self._arrays.tensor(self._embed(graph, side, of(rows), of(ts), of(seq)))
        return z

    def _embed(self, graph: DynamicGraph, side: int, rows: Array, ts: Array, seq: Array) -> Array:
        if self._config.embedding == "attention":
            return self.attend(graph, side, rows, ts, seq)
        h = self._h(graph, side, rows)
        drift = self.weights()[side].drift
        return h if drift is None else projected(drift, h, self.gatherer(graph).away(side, rows, ts))

    def attend(self, graph: DynamicGraph, side: int, rows: Array, ts: Array, seq: Array) -> Array:
        """Attention embeddings ``[n, d]``, whatever the encoder's own embedding is."""
        xp = self._arrays
        if len(rows) > BLOCK and not xp.fixed_shapes:
            # The slots of a block stay in the processor's cache; those of thousands of nodes do not.
            blocks = range(0, len(rows), BLOCK)
            parts = (
                self.attend(graph, side, rows[at : at + BLOCK], ts[at : at + BLOCK], seq[at : at + BLOCK])
                for at in blocks
            )
            return xp.stacked(tuple(parts))
        h = self._h(graph, side, rows)
        layers = [[partial(attended, xp, layer) for layer in folded.layers] for folded in self.weights()]
        slots = self.gatherer(graph).slots(side, rows, ts, seq, self._config.layers)
        return through_layers(xp, layers[side], layers[1 - side], h, slots)

    def capture(self, graph: DynamicGraph, side: int, rows: Tensor, ts: Tensor, seq: Tensor) -> Inputs:
        """What embeddings of ``rows`` at ``(ts, seq)`` are computed from, kept for the gradient path."""
        xp, store = self._arrays, stores(graph)[side]
        at, moments, gatherer, tensor = xp.of(rows), xp.of(ts), self.gatherer(graph), xp.tensor
        slots = None
        if self._config.embedding == "attention":
            slots = changed(gatherer.slots(side, at, moments, xp.of(seq), self._config.layers), tensor)
        raw = RawMessages(*map(tensor, store.waiting(at)))
        return Inputs(tensor(at), tensor(gatherer.away(side, at, moments)), raw, slots)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """What is seen of all nodes."""
        return {"users": self._seen[0].view, "items": self._seen[1].view}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self.weights_changed()
        for seen, name in zip(self._seen, ("users", "items"), strict=True):
            seen.replace(state[name])


def stores(graph: DynamicGraph) -> tuple[NodeStore, NodeStore]:
    """Users and items."""
    return graph.users, graph.items
