"""Each node's K most recent edges, in ring buffers written and read without a Python loop.

A ring holds *committed* edges only. Reads still compare ``(ts, seq)`` with the query, because a late but allowed
event may ask about a time before edges that are already in the ring (design: strictly earlier, always).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.groups import occurrences
from dyngraph.growable import Growable
from dyngraph.state import State


class Neighbourhood(NamedTuple):
    """K slots for each of n queried nodes; slots that hold nothing earlier than the query are masked."""

    nodes: Tensor
    """``[n, K]`` int64 rows of the opposite side, 0 where masked."""
    ts: Tensor
    """``[n, K]`` int64 edge times, ms."""
    seq: Tensor
    """``[n, K]`` int64 places of the edges in the log."""
    types: Tensor
    """``[n, K]`` int64 event types."""
    values: Tensor
    """``[n, K]`` float32 event values."""
    mask: Tensor
    """``[n, K]`` bool, true for usable slots."""


class TemporalNeighbours:
    """Ring buffers ``[nodes, K]`` of a bipartite side: rows are users (or items), entries the other side.

    Memory: K · 28 bytes + 8 bytes per node.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._nodes = Growable((k,), torch.int32)
        self._ts = Growable((k,), torch.int64)
        self._seq = Growable((k,), torch.int64)
        self._types = Growable((k,), torch.int32)
        self._values = Growable((k,), torch.float32)
        self._count = Growable((), torch.int64)

    def _columns(self) -> dict[str, Growable]:
        return {
            "nodes": self._nodes,
            "ts": self._ts,
            "seq": self._seq,
            "types": self._types,
            "values": self._values,
            "count": self._count,
        }

    def grow(self, length: int) -> None:
        """Make room for ``length`` nodes."""
        for column in self._columns().values():
            column.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        for column in self._columns().values():
            column.truncate(length)

    def insert(self, at: Tensor, nodes: Tensor, ts: Tensor, seq: Tensor, types: Tensor, values: Tensor) -> None:
        """Append edges (all ``[n]``, in log order) to the rings of ``at``; nodes may repeat any number of times."""
        place = occurrences(at)
        kept = place.from_back < self.k
        slot = ((self._count.view[at] + place.from_front) % self.k)[kept]
        row = at[kept]
        self._nodes.view[row, slot] = nodes[kept].to(torch.int32)
        self._ts.view[row, slot] = ts[kept]
        self._seq.view[row, slot] = seq[kept]
        self._types.view[row, slot] = types[kept].to(torch.int32)
        self._values.view[row, slot] = values[kept]
        self._count.view.index_add_(0, at, torch.ones_like(at))

    def before(self, at: Tensor, ts: Tensor, seq: Tensor) -> Neighbourhood:
        """Slots of ``at [n]`` whose edge is strictly earlier than the query ``(ts, seq)`` (each ``[n]``)."""
        edge_ts, edge_seq = self._ts.view[at], self._seq.view[at]
        filled = torch.arange(self.k) < self._count.view[at].unsqueeze(1)
        earlier = (edge_ts < ts.unsqueeze(1)) | ((edge_ts == ts.unsqueeze(1)) & (edge_seq < seq.unsqueeze(1)))
        nodes = self._nodes.view[at].to(torch.int64)
        mask = filled & earlier & (nodes > 0)
        return Neighbourhood(
            nodes * mask, edge_ts, edge_seq, self._types.view[at].to(torch.int64), self._values.view[at], mask
        )

    def forget(self, at: int) -> None:
        """Empty the ring of one node."""
        for column in self._columns().values():
            column.view[at] = column.fill

    def forget_neighbour(self, node: int) -> None:
        """Remove one node from the rings of all others; its slots read as empty from now on."""
        hit = self._nodes.view == node
        for column in (self._nodes, self._ts, self._seq, self._types, self._values):
            column.view[hit] = column.fill

    def state(self) -> State:
        """All rings."""
        return {name: column.view for name, column in self._columns().items()}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, column in self._columns().items():
            column.replace(state[name])
