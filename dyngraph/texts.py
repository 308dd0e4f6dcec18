"""Text vectors of items as graph data, by row: what a language model makes of a title, handed in from outside.

They come by item id, in any order, also before anyone touches the item; rows follow the id table when they are asked
for, as the catalogue's columns do. They are kept as float16, as they travel, so that nothing changes by being saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.growable import Growable
from dyngraph.ids import IdTable
from dyngraph.state import State, packed, unpacked

Vector = Sequence[float] | NDArray[np.floating[Any]] | bytes
"""``[w]`` finite numbers, or the bytes of such in float16, little endian."""


class TextVectors:
    """One vector of ``width`` numbers per item; the latest wins. With width 0 none fits."""

    def __init__(self, rows: IdTable, width: int) -> None:
        self.width = width
        self.refused: Counter[str] = Counter()
        """Vectors not taken since the start, by reason: ``unfit``."""
        self._ids = rows
        self._kept: dict[str, bytes] = {}
        self._changed: set[str] = set()
        self._version = 0
        self._rewritten = rows.rewritten
        self._start()

    def __len__(self) -> int:
        """Items with a vector, those without a row too."""
        return len(self._kept)

    def put(self, vectors: Mapping[str, Vector]) -> int:
        """Add or replace vectors by item id; how many of them were new or different.

        One of another width, or with numbers that float16 cannot hold, is left out and counted in :attr:`refused`.
        """
        changed = 0
        for item_id, vector in vectors.items():
            fitting = self.fitting(vector)
            if fitting is None:
                self.refused["unfit"] += 1
            elif self._kept.get(item_id) != fitting:
                self._kept[item_id] = fitting
                self._changed.add(item_id)
                changed += 1
        return changed

    def forget(self, item_id: str) -> None:
        """Drop one item's vector."""
        if self._kept.pop(item_id, None) is not None:
            self._changed.add(item_id)

    def fitting(self, vector: Vector) -> bytes | None:
        """The vector as float16, little endian; None for another width than the store's, or numbers not finite."""
        if isinstance(vector, bytes):
            if len(vector) != 2 * self.width:
                return None
            numbers = np.frombuffer(vector, "<f2")
        else:
            with np.errstate(over="ignore"):
                numbers = np.asarray(vector).astype("<f2")
        fits = self.width > 0 and numbers.shape == (self.width,) and bool(np.isfinite(numbers).all())
        return numbers.tobytes() if fits else None

    def get(self, item_id: str) -> bytes | None:
        """One item's vector as float16, little endian; None where there is none."""
        return self._kept.get(item_id)

    # -- by row -----------------------------------------------------------------------------------------------

    @property
    def rows(self) -> NDArray[np.float32]:
        """``[items, w]`` vectors, zeros where there is none; read-only, and left behind by growth."""
        self._follow()
        rows: NDArray[np.float32] = self._vectors.rows
        return rows

    @property
    def version(self) -> int:
        """Grows whenever any row changes, so that what was derived from rows knows when it is out of date."""
        self._follow()
        return self._version

    def changed_since(self, version: int) -> NDArray[np.int64]:
        """Rows, ascending, whose vector has come, changed or gone after :attr:`version` had this value; 0 gives all
        that have one. Costs a look at every row's number: ask only where :attr:`version` has moved.
        """
        self._follow()
        return np.flatnonzero(self._stamps.rows > version)

    def _start(self) -> None:
        """Rows without any vector but the null row's; every row that gets one counts as changed."""
        self._vectors, self._stamps = Growable((self.width,), torch.float32), Growable((), torch.int64)
        self._vectors.grow(1)
        self._stamps.grow(1)

    def _follow(self) -> None:
        """Bring the rows up to date with the vectors and with the ids."""
        begun = len(self._stamps)
        if self._rewritten != self._ids.rewritten:
            self._rewritten = self._ids.rewritten
            self._begin_anew()
            begun = len(self._stamps)
        size = len(self._ids)
        if begun == size and not self._changed:
            return
        self._vectors.grow(size)
        self._stamps.grow(size)
        came = [row for row in range(begun, size) if self._ids[row] in self._kept]
        rows = {*came, *self._ids.find(sorted(self._changed)).tolist()} - {0}
        self._changed.clear()
        if rows:
            self._version += 1
            self._write(sorted(rows))

    def _begin_anew(self) -> None:
        """Read every row again: any may be another item's now. Those that say what they said keep their number, so
        that a step that failed leaves nothing to renew.
        """
        vectors, stamps = self._vectors.rows, self._stamps.rows
        self._start()
        self._version += 1
        size = len(self._ids)
        self._vectors.grow(size)
        self._stamps.grow(size)
        self._write(list(range(1, size)))
        both = min(len(stamps), size)
        same = (self._vectors.rows[:both] == vectors[:both]).all(1)
        self._stamps.rows[:both][same] = stamps[:both][same]

    def _write(self, rows: list[int]) -> None:
        nothing = bytes(2 * self.width)
        blob = b"".join(self._kept.get(self._ids[row], nothing) for row in rows)
        self._vectors.rows[rows] = np.frombuffer(blob, "<f2").reshape(len(rows), self.width)
        self._stamps.rows[rows] = self._version

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """All vectors ``[n, w]`` in the order in which their items came first, and those items' ids."""
        blob = np.frombuffer(b"".join(self._kept.values()), "<f2").astype(np.float16)
        vectors = torch.from_numpy(blob.reshape(len(self._kept), self.width))
        names = packed(list(self._kept))
        return {"vectors": vectors} | {f"ids.{key}": value for key, value in names.items()}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        names = unpacked({"bytes": state["ids.bytes"], "ends": state["ids.ends"]})
        vectors = state["vectors"].numpy().astype("<f2")
        self._changed |= set(self._kept) | set(names)
        self._kept = {name: vector.tobytes() for name, vector in zip(names, vectors, strict=True)}
