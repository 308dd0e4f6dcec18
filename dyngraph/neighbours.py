"""Each node's K most recent edges, in ring buffers written and read without a Python loop.

A ring holds *committed* edges only. Reads still compare ``(ts, seq)`` with the query, because a late but allowed
event may ask about a time before edges that are already in the ring (design: strictly earlier, always).
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from dyngraph.arrays import NUMPY, Array, Arrays, Runs
from dyngraph.growable import Growable
from dyngraph.state import State

_NODE, _TS, _SEQ, _TYPE = range(4)


A = TypeVar("A")


class Neighbourhood(NamedTuple, Generic[A]):
    """K slots for each of n queried nodes; slots that hold nothing earlier than the query are masked."""

    nodes: A
    """``[n, K]`` int64 rows of the opposite side, 0 where masked."""
    ts: A
    """``[n, K]`` int64 edge times, ms."""
    seq: A
    """``[n, K]`` int64 places of the edges in the log."""
    types: A
    """``[n, K]`` int64 event types."""
    edges: A
    """``[n, K, 1 + E]`` float32 edge features as in :attr:`dyngraph.batch.EventBatch.edges`."""
    mask: A
    """``[n, K]`` bool, true for usable slots."""


class TemporalNeighbours:
    """Ring buffers ``[nodes, K]`` of a bipartite side: rows are users (or items), entries the other side.

    Memory: K · (36 + 4 · E) + 8 bytes per node.
    """

    def __init__(self, k: int, edge_dim: int = 0, arrays: Arrays = NUMPY, device: torch.device | str = "cpu") -> None:
        self.k = k
        self._arrays = arrays
        # Whole numbers of a slot lie side by side: one gather brings all of them.
        self._whole = Growable((k, 4), torch.int64, arrays=arrays, device=device)
        self._edges = Growable((k, 1 + edge_dim), torch.float32, arrays=arrays, device=device)
        self._count = Growable((), torch.int64, arrays=arrays, device=device)
        self._slots = arrays.count_to(k)

    def _columns(self) -> dict[str, Growable]:
        return {"whole": self._whole, "edges": self._edges, "count": self._count}

    def grow(self, length: int) -> None:
        """Make room for ``length`` nodes."""
        for column in self._columns().values():
            column.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        for column in self._columns().values():
            column.truncate(length)

    def insert(self, at: Array, runs: Runs, nodes: Array, ts: Array, seq: Array, types: Array, edges: Array) -> None:
        """Append edges (all ``[n]``, in log order) to the rings of ``at``; nodes may repeat any number of times.

        ``runs`` are those of ``at``; ``edges [n, 1 + E]``.
        """
        whole, count = self._whole.rows, self._count.rows
        slot = (count[at] + runs.front) % self.k
        if self._arrays.fixed_shapes:
            # What a later edge of the same batch overwrites goes to the null row, which is emptied afterwards.
            row = self._arrays.where(runs.back < self.k, at, 0)
        elif len(at) > self.k:
            kept = runs.back < self.k
            row, slot, edges = at[kept], slot[kept], edges[kept]
            nodes, ts, seq, types = nodes[kept], ts[kept], seq[kept], types[kept]
        else:
            row = at
        for column, values in ((_NODE, nodes), (_TS, ts), (_SEQ, seq), (_TYPE, types)):
            whole[row, slot, column] = values
        self._edges.rows[row, slot] = edges
        count[runs.distinct] += runs.sizes
        if self._arrays.fixed_shapes:
            self._null()

    def _null(self) -> None:
        for column in self._columns().values():
            column.rows[0] = column.fill

    def before(self, at: Tensor, ts: Tensor, seq: Tensor) -> Neighbourhood[Tensor]:
        """Slots of ``at [n]`` whose edge is strictly earlier than the query ``(ts, seq)`` (``[n]``), as tensors."""
        of, tensor = self._arrays.of, self._arrays.tensor
        near = self.gathered(of(at), of(ts), of(seq))
        return Neighbourhood(*(tensor(part).cpu() for part in near))

    def gathered(self, at: Array, ts: Array, seq: Array) -> Neighbourhood[Array]:
        """The same from and to arrays of the graph's kind."""
        whole = self._arrays.take(self._whole.rows, at)
        nodes, edge_ts, edge_seq = whole[..., _NODE], whole[..., _TS], whole[..., _SEQ]
        ts, seq = ts[:, None], seq[:, None]
        earlier = (edge_ts < ts) | ((edge_ts == ts) & (edge_seq < seq))
        # An empty slot and a forgotten neighbour have node 0.
        mask = earlier & (nodes > 0)
        edges = self._arrays.take(self._edges.rows, at)
        return Neighbourhood(nodes * mask, edge_ts, edge_seq, whole[..., _TYPE], edges, mask)

    def forget(self, at: int) -> None:
        """Empty the ring of one node."""
        for column in self._columns().values():
            column.view[at] = column.fill

    def forget_neighbour(self, node: int) -> None:
        """Remove one node from the rings of all others; its slots read as empty from now on."""
        hit = self._whole.view[..., _NODE] == node
        self._whole.view[hit] = 0
        self._edges.view[hit] = 0

    def holders(self, node: int) -> Tensor:
        """Rows ``[m]`` whose ring holds an edge to ``node``."""
        return (self._whole.view[..., _NODE] == node).any(1).nonzero().squeeze(1)

    def state(self) -> State:
        """All rings."""
        return {name: column.view for name, column in self._columns().items()}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, column in self._columns().items():
            column.replace(state[name])
