"""Exponentially decayed counts without touching what did not change.

All values that decay with one half-life keep their order and ratios as time passes, so each is stored relative to
a common base time, as ``2^((t − base) / half_life)`` summed over its events. When the exponent gets large, the base
moves and the tables are scaled once.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_LARGEST_EXPONENT = 256.0


class DecayClock:
    """Weights of events for one half-life (ms).

    >>> clock = DecayClock(1000)
    >>> clock.weight(torch.tensor([0, 1000])).tolist()
    [1.0, 2.0]
    >>> clock.now(torch.tensor([1000])).tolist()   # what turns stored sums into decayed counts at that time
    [0.5]
    """

    def __init__(self, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self.base_ms = 0
        self._started = False

    def due(self, ts: Tensor) -> float:
        """Factor for all stored sums before events at ``ts`` may be weighed; 1.0 if the base stays."""
        newest = int(ts.max())
        if not self._started:
            self._started, self.base_ms = True, newest
            return 1.0
        if (newest - self.base_ms) / self.half_life_ms < _LARGEST_EXPONENT:
            return 1.0
        factor = math.exp2(max((self.base_ms - newest) / self.half_life_ms, -1000.0))
        self.base_ms = newest
        return factor

    def weight(self, ts: Tensor) -> Tensor:
        """Weight ``[n]`` float64 of one event at each of ``ts [n]`` (int64 ms)."""
        return _powers_of_two((ts - self.base_ms).to(torch.float64) / self.half_life_ms)

    def now(self, ts: Tensor) -> Tensor:
        """Factor ``[n]`` that turns stored sums into decayed counts as of ``ts [n]``."""
        return _powers_of_two((self.base_ms - ts).to(torch.float64) / self.half_life_ms)

    def state(self) -> dict[str, Tensor]:
        """The base."""
        return {"base": torch.tensor([self.base_ms, int(self._started)])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of :meth:`state`."""
        self.base_ms, started = state["base"].tolist()
        self._started = bool(started)


def _powers_of_two(exponents: Tensor) -> Tensor:
    # torch rounds the entries of a vector and those left over behind its last full register differently, so that what
    # an event weighs would depend on the size of its batch.
    return torch.from_numpy(np.exp2(exponents.numpy()))
