"""One scale for all counts: how an item stands to the one with the most, so that a log's size does not matter."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 0.003
_SPAN = 5.8
"""-ln of :data:`FLOOR`."""


def log_share(values: Tensor) -> Tensor:
    """``1 + ln(.003 + x / max x) / 5.8`` along dimension 0, in [0, 1]: 1 for the most, 0 for none.

    >>> [round(share, 2) for share in log_share(torch.tensor([0.0, 1.0, 100.0])).tolist()]
    [0.0, 0.25, 1.0]
    """
    share = values / values.amax(0).clamp(min=1e-300)
    return (1 + torch.log(FLOOR + share.clamp(min=0)) / _SPAN).clamp(0, 1)
