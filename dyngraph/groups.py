"""Vectorised answers to "the r-th occurrence of this node in the batch", needed wherever nodes repeat."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Occurrences(NamedTuple):
    """For each position of a key vector: which one it is of its key, counted from the front and from the back."""

    from_front: Tensor
    """``[n]`` 0 for the first occurrence of the key, 1 for the second, …"""
    from_back: Tensor
    """``[n]`` 0 for the last occurrence of the key, 1 for the one before, …"""


def occurrences(keys: Tensor) -> Occurrences:
    """Occurrence numbers of ``keys [n]`` (int64), order kept.

    >>> occurrences(torch.tensor([5, 7, 5, 5])).from_front.tolist()
    [0, 0, 1, 2]
    >>> occurrences(torch.tensor([5, 7, 5, 5])).from_back.tolist()
    [2, 0, 1, 0]
    """
    order = torch.argsort(keys, stable=True)
    _, sizes = torch.unique_consecutive(keys[order], return_counts=True)
    starts = torch.cumsum(sizes, 0) - sizes
    place = torch.arange(keys.shape[0]) - torch.repeat_interleave(starts, sizes)
    front, back = torch.empty_like(place), torch.empty_like(place)
    front[order] = place
    back[order] = torch.repeat_interleave(sizes, sizes) - 1 - place
    return Occurrences(front, back)
