"""Node state of one side of the graph: memory, the not yet applied message, and what was seen last.

Two memories are kept on purpose. ``memory`` has every message applied but the newest; the newest one waits as raw
inputs, so that it can be applied on the gradient path when the node is learned from (TGN, Rossi et al. 2020, section
3; applying at the end of a batch would leave the updater without gradient). ``applied`` is memory with the waiting
message applied under the weights of that commit: what the next event starts from, and what queries and neighbours see
without any work per read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.arrays import NUMPY, Array, Arrays, Runs
from dyngraph.growable import Growable
from dyngraph.neighbours import TemporalNeighbours
from dyngraph.state import State, gather, scatter


class RawMessages(NamedTuple):
    """Inputs of memory updates for n nodes, before any learned function has seen them."""

    own: Array
    """``[n, d]`` memory of the node itself."""
    message: Array
    """``[n, m]`` the waiting message: the other end, the edge, the encoded time since the node's last event."""
    pending: Array
    """``[n]`` bool, false where nothing waits."""


class NodeStore:
    """All users, or all items: growable, untouched rows are kept bit for bit.

    ``dim`` and ``message`` are the widths d of memory and m of raw messages. Memory per node: 8 · d + 4 · m + 17
    bytes, the static vector if there is one (4 bytes a number), and its ring (see :class:`TemporalNeighbours`).
    """

    def __init__(
        self,
        dim: int,
        k: int,
        *,
        message: int = 0,
        edge_dim: int = 0,
        vector_dim: int = 0,
        arrays: Arrays = NUMPY,
        device: torch.device | str = "cpu",
    ) -> None:
        def table(*shape: int, dtype: torch.dtype = torch.float32, fill: float = 0) -> Growable:
            return Growable(shape, dtype, fill, arrays, device)

        self._arrays = arrays
        self._memory, self._applied, self._message = table(dim), table(dim), table(message)
        self._pending = table(dtype=torch.bool)
        self._last_ts = table(dtype=torch.int64, fill=-1)
        self._events = table(dtype=torch.int64)
        self._vectors = table(vector_dim)
        self._tables = {
            "memory": self._memory,
            "applied": self._applied,
            "message": self._message,
            "pending": self._pending,
            "last_ts": self._last_ts,
            "events": self._events,
            "vectors": self._vectors,
        }
        self.neighbours = TemporalNeighbours(k, edge_dim, arrays, device)
        self.grow(1)

    def __len__(self) -> int:
        """Rows, the null row included."""
        return len(self._memory)

    @property
    def applied(self) -> Array:
        """``[rows, d]`` memory as the next event finds it."""
        return self._applied.rows

    @property
    def times(self) -> Array:
        """:attr:`last_ts` as an array of the store's kind."""
        return self._last_ts.rows

    @property
    def last_ts(self) -> Tensor:
        """``[rows]`` int64 time of the node's last event in ms, -1 before the first."""
        return self._last_ts.view

    @property
    def events(self) -> Tensor:
        """``[rows]`` int64 events of the node so far."""
        return self._events.view

    @property
    def vectors(self) -> Array:
        """``[rows, v]`` static vectors given from outside (text), zero where none was given."""
        return self._vectors.rows

    def grow(self, length: int) -> None:
        """Make room for ``length`` nodes."""
        if length > len(self):
            for table in self._tables.values():
                table.grow(length)
            self.neighbours.grow(length)

    def truncate(self, length: int) -> None:
        """Undo growth beyond ``length``."""
        for table in self._tables.values():
            table.truncate(length)
        self.neighbours.truncate(length)

    def waiting(self, rows: Array) -> RawMessages:
        """The raw messages of ``rows [n]``."""
        take = self._arrays.take
        return RawMessages(
            take(self._memory.rows, rows), take(self._message.rows, rows), take(self._pending.rows, rows)
        )

    def elapsed(self, rows: Array, ts: Array) -> Array:
        """int64 ms ``[n]`` from the last event of ``rows`` to ``ts``, never negative; 0 before the first."""
        last = self._arrays.take(self.times, rows)
        return self._arrays.relu(ts - last) * (last >= 0)

    def keep(self, rows: Array, memory: Array, message: Array, applied: Array) -> None:
        """Persist ``memory [n, d]`` of distinct ``rows``, let ``message [n, m]`` wait, keep ``applied [n, d]``."""
        self._memory.rows[rows] = memory
        self._message.rows[rows] = message
        self._applied.rows[rows] = applied
        self._pending.rows[rows] = True
        self._null()

    def met(self, runs: Runs, ts: Array) -> None:
        """Count the events of ``runs`` and note their times; ``ts [g]`` is the newest of each node."""
        rows, last = runs.distinct, self.times
        last[rows] = self._arrays.where(last[rows] > ts, last[rows], ts)
        self._events.rows[rows] += runs.sizes
        self._null()

    def _null(self) -> None:
        # With fixed shapes, what is not to be kept was written to the null row.
        if self._arrays.fixed_shapes:
            for table in self._tables.values():
                table.rows[0] = table.fill

    def describe(self, rows: Tensor, vectors: Tensor) -> None:
        """Set the static vectors ``[n, v]`` of distinct ``rows``."""
        self._vectors.view[rows] = vectors.to(self._vectors.view)

    def settle(self, rows: Tensor) -> None:
        """Let what waits for distinct ``rows`` count as applied for good; the messages themselves are forgotten."""
        self._memory.view[rows] = self._applied.view[rows]
        self._message.view[rows] = 0
        self._pending.view[rows] = False

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
