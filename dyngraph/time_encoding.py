"""Time differences as vectors, with phases formed in float64.

Event times are int64 milliseconds; in float32 today's seconds have steps of 128 s, so only differences leave the
stores, and they are multiplied with their frequencies in float64 before the cosine is rounded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dyngraph.arrays import TORCH, Array, Arrays

SHORTEST_MS = 1_000.0
LONGEST_MS = 4 * 365.25 * 86_400_000.0


class TimeEncoding:
    """``φ(Δ)_k = cos(ω_k Δ)`` with fixed, log-spaced periods from one second to four years.

    Fixed frequencies train as well as learned ones and make the encoding a pure function that can be tabulated
    (GraphMixer, Cong et al. 2023, section 3.1); the linear maps behind it learn what to read from it.

    >>> TimeEncoding(4)(torch.tensor([0])).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, dim: int) -> None:
        periods = torch.logspace(math.log10(SHORTEST_MS), math.log10(LONGEST_MS), dim, dtype=torch.float64)
        self._omega = 2 * math.pi / periods
        self._of: dict[Arrays, Array] = {}
        self.dim = dim

    def __call__(self, delta_ms: Tensor) -> Tensor:
        """Encode ``delta_ms [...]`` (int64 ms, negative ones clamped to 0) as float32 ``[..., dim]``."""
        out: Tensor = self.encode(TORCH, delta_ms.clamp(min=0))
        return out

    def encode(self, xp: Arrays, delta_ms: Array) -> Array:
        """Encode ``delta_ms [...]`` (int64 ms, not negative where it matters) as float32 ``[..., dim]``."""
        omega = self._of.get(xp)
        if omega is None:
            omega = self._of[xp] = xp.of(self._omega)
        return xp.waves(delta_ms, omega)
