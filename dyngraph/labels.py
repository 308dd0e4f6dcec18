"""What things are called alike by: a few labels per row, and for each label asked for the rows that bear it.

Answering "which rows bear one of these labels" must cost next to nothing while rows are added and relabelled all the
time, so the answer for each label that was ever asked for is kept as a mask and corrected where rows change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.growable import Growable

MASKS_KEPT = 128
"""Labels whose masks are kept, the most lately asked for; a mask takes a byte per row."""


class LabelTable:
    """Rows and their labels; row 0 has none.

    >>> table = LabelTable()
    >>> table.grow(4)
    >>> table.put({1: ["red", "round"], 3: ["red"]})
    >>> table.bearers(["red"]).tolist()
    [False, True, False, True]
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._codes = Growable((1,), torch.int32)
        self._masks: OrderedDict[int, Growable] = OrderedDict()
        self.grow(1)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> NDArray[np.int32]:
        """``[rows, width]`` label numbers from 1, the ones of a row first and distinct, 0 for none."""
        codes: NDArray[np.int32] = self._codes.rows
        return codes

    def grow(self, length: int) -> None:
        """Make room for ``length`` rows, which begin without labels."""
        self._codes.grow(length)
        for mask in self._masks.values():
            mask.grow(length)

    def put(self, labels: Mapping[int, Iterable[str]]) -> None:
        """Give rows their labels, in place of those they had."""
        if not labels:
            return
        known = self._numbers
        numbered = [
            [known.setdefault(label, len(known) + 1) for label in dict.fromkeys(own)] for own in labels.values()
        ]
        width = max(map(len, numbered))
        if width > self.codes.shape[1]:
            self._codes.widen(max(width, 2 * self.codes.shape[1]))
        rows = np.fromiter(labels, np.int64, len(labels))
        block = np.zeros((len(rows), self.codes.shape[1]), np.int32)
        for place, own in enumerate(numbered):
            block[place, : len(own)] = own
        self.codes[rows] = block
        for number, mask in self._masks.items():
            mask.rows[rows] = (block == number).any(1)

    def bearers(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """``[rows]`` which rows bear at least one of ``labels``; a label never given is borne by none."""
        found = np.zeros(len(self), dtype=bool)
        for label in labels:
            if number := self._numbers.get(label, 0):
                found |= self._mask(number)
        return found

    def _mask(self, number: int) -> NDArray[np.bool_]:
        mask = self._masks.get(number)
        if mask is None:
            mask = Growable((), torch.bool)
            mask.replace(torch.from_numpy((self.codes == number).any(1)))
            self._masks[number] = mask
            if len(self._masks) > MASKS_KEPT:
                self._masks.popitem(last=False)
        self._masks.move_to_end(number)
        rows: NDArray[np.bool_] = mask.rows
        return rows
