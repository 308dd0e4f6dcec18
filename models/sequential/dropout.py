"""Dropout from random bytes: on a CPU, drawing a float per number took a sixth of a training step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 256


class ByteDropout(nn.Module):
    """Sets each number to 0 with probability ``rate``, rounded to 1/256, and scales the others up to keep the mean
    (Srivastava et al., JMLR 2014). Draws from torch's global generator, as :class:`torch.nn.Dropout` does.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._dropped = round(rate * _LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape; itself while not training."""
        if not self.training or not self._dropped:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self._dropped
        return x * kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - self._dropped))
