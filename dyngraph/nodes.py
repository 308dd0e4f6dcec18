"""Node state of one side of the graph: memory, the not yet applied message, and what was seen last.

Two memories are kept on purpose. ``memory`` has every message applied but the newest; the newest one waits as raw
inputs, so that the next batch can apply it on the gradient path (TGN, Rossi et al. 2020, section 3; applying at
the end of a batch would leave the updater without gradient). ``applied`` is memory with the waiting message
applied under the weights of that commit: what read-only queries and neighbours see, without any work per read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.growable import Growable
from dyngraph.neighbours import TemporalNeighbours
from dyngraph.state import State, gather, scatter


class RawMessages(NamedTuple):
    """Inputs of memory updates for n nodes, before any learned function has seen them."""

    own: Tensor
    """``[n, d]`` memory of the node itself."""
    other: Tensor
    """``[n, d]`` memory of the other end when the event was committed."""
    types: Tensor
    """``[n]`` int64 event types."""
    values: Tensor
    """``[n]`` float32 event values."""
    elapsed: Tensor
    """``[n]`` int64 ms since the node's last event before that step, never negative."""
    pending: Tensor
    """``[n]`` bool, false where nothing waits."""


class NodeStore:
    """All users, or all items: growable, untouched rows are kept bit for bit.

    Memory per node: 12 · d + 41 bytes, and its ring (see :class:`TemporalNeighbours`).
    """

    def __init__(self, dim: int, k: int) -> None:
        self._tables = {
            "memory": Growable((dim,), torch.float32),
            "applied": Growable((dim,), torch.float32),
            "other": Growable((dim,), torch.float32),
            "types": Growable((), torch.int64),
            "values": Growable((), torch.float32),
            "elapsed": Growable((), torch.int64),
            "pending": Growable((), torch.bool),
            "last_ts": Growable((), torch.int64, fill=-1),
            "events": Growable((), torch.int64),
        }
        self.neighbours = TemporalNeighbours(k)
        self.grow(1)

    def __len__(self) -> int:
        """Rows, the null row included."""
        return len(self._tables["memory"])

    @property
    def applied(self) -> Tensor:
        """``[rows, d]`` memory as queries see it."""
        return self._tables["applied"].view

    @property
    def last_ts(self) -> Tensor:
        """``[rows]`` int64 time of the node's last event in ms, -1 before the first."""
        return self._tables["last_ts"].view

    @property
    def events(self) -> Tensor:
        """``[rows]`` int64 events of the node so far."""
        return self._tables["events"].view

    def grow(self, length: int) -> None:
        """Make room for ``length`` nodes."""
        for table in self._tables.values():
            table.grow(length)
        self.neighbours.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        for table in self._tables.values():
            table.truncate(length)
        self.neighbours.truncate(length)

    def waiting(self, rows: Tensor) -> RawMessages:
        """The raw messages of ``rows [n]``."""
        view = {name: table.view[rows] for name, table in self._tables.items() if name != "applied"}
        return RawMessages(
            view["memory"], view["other"], view["types"], view["values"], view["elapsed"], view["pending"]
        )

    def keep_memory(self, rows: Tensor, memory: Tensor) -> None:
        """Persist applied memory ``[n, d]`` of distinct ``rows``; their messages no longer wait."""
        self._tables["memory"].view[rows] = memory
        self._tables["pending"].view[rows] = False

    def keep_messages(self, rows: Tensor, other: Tensor, types: Tensor, values: Tensor, ts: Tensor) -> None:
        """Store one waiting message for each of the distinct ``rows [n]`` and note its time."""
        last = self.last_ts[rows]
        elapsed = torch.where(last >= 0, (ts - last).clamp(min=0), 0)
        for name, value in (("other", other), ("types", types), ("values", values), ("elapsed", elapsed)):
            self._tables[name].view[rows] = value
        self._tables["pending"].view[rows] = True
        self._tables["last_ts"].view[rows] = torch.maximum(last, ts)

    def keep_applied(self, rows: Tensor, applied: Tensor) -> None:
        """Set what queries see of distinct ``rows``."""
        self._tables["applied"].view[rows] = applied

    def count(self, rows: Tensor) -> None:
        """Add one event for each entry of ``rows`` (repeats count)."""
        self.events.index_add_(0, rows, torch.ones_like(rows))

    def forget(self, row: int) -> None:
        """Return one node to the state of a node never seen."""
        for table in self._tables.values():
            table.view[row] = table.fill
        self.neighbours.forget(row)

    def state(self) -> State:
        """Tables and rings."""
        tables = {name: table.view for name, table in self._tables.items()}
        return tables | gather({"neighbours": self.neighbours})

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, table in self._tables.items():
            table.replace(state[name])
        scatter({"neighbours": self.neighbours}, state)
