"""String ids to dense rows, growing in order of first appearance.

Row 0 is the null node. The table is append-only, so a row means the same node for as long as the state lives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dyngraph.state import State, packed, unpacked


class IdTable:
    """A growing two-way map between string ids and rows ``1 … len-1``.

    >>> users = IdTable()
    >>> users.add(["ann", "bob", "ann"]).tolist()
    [1, 2, 1]
    >>> users.find(["bob", "eve"]).tolist()
    [2, 0]
    """

    def __init__(self) -> None:
        self._ids: list[str] = [""]
        self._rows: dict[str, int] = {}
        self.rewritten = 0
        """Counts how often rows lost their names or got others, so that what was kept by row can be made anew."""

    def __len__(self) -> int:
        """Number of rows, the null row included."""
        return len(self._ids)

    def __getitem__(self, row: int) -> str:
        return self._ids[row]

    def add(self, ids: Sequence[str]) -> Tensor:
        """Rows ``[n]`` of ``ids``; unknown ones get the next free row."""
        known = self._rows
        for name in ids:
            if name not in known:
                known[name] = len(self._ids)
                self._ids.append(name)
        return torch.tensor(list(map(known.__getitem__, ids)), dtype=torch.int64)

    def find(self, ids: Sequence[str]) -> Tensor:
        """Rows ``[n]`` of ``ids``; unknown ones give the null row 0."""
        return torch.tensor([self._rows.get(name, 0) for name in ids], dtype=torch.int64)

    def truncate(self, length: int) -> None:
        """Forget the rows from ``length`` on (used to undo growth of a step that failed)."""
        for name in self._ids[length:]:
            del self._rows[name]  # newcomers have names: only an erased row has none
            self.rewritten += 1
        del self._ids[length:]

    def forget(self, row: int) -> None:
        """Take the name off ``row``; the row stays, nameless, and the same id would get a new one."""
        del self._rows[self._ids[row]]
        self._ids[row] = ""
        self.rewritten += 1

    def state(self) -> State:
        """All ids, in row order."""
        return packed(self._ids)

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._ids = unpacked(state)
        self._rows = {name: row for row, name in enumerate(self._ids) if name}
        self.rewritten += 1
