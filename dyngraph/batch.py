"""A step's events as columns of rows and numbers, in ``(ts, seq)`` order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dyngraph.events import NEGATIVE, POSITIVE, EventType, Interaction

POSITIVE_TYPES = torch.tensor([value in POSITIVE for value in range(max(EventType) + 1)])
"""Look-up ``[types]``: whether an event type says that the user wants the item."""
NEGATIVE_TYPES = torch.tensor([value in NEGATIVE for value in range(max(EventType) + 1)])
"""Look-up ``[types]``: whether an event type lowers the item for the user."""


@dataclass(frozen=True)
class EventBatch:
    """Columns ``[B]``, sorted by ``(ts, seq)``; users and items are rows of their tables (0: not there yet)."""

    users: Tensor
    items: Tensor
    types: Tensor
    """int64 :class:`EventType`."""
    values: Tensor
    """float32, 0 where the event has none."""
    ts: Tensor
    """int64 ms."""
    seq: Tensor
    """int64 place in the shard's log."""

    def __len__(self) -> int:
        return int(self.users.shape[0])

    @property
    def positive(self) -> Tensor:
        """``[B]`` bool: views, clicks, carts, purchases, ratings, likes."""
        return POSITIVE_TYPES[self.types]

    @property
    def negative(self) -> Tensor:
        """``[B]`` bool: dislikes and removals."""
        return NEGATIVE_TYPES[self.types]


class Columns:
    """Interactions with their seq, sorted, before ids became rows."""

    def __init__(self, events: Sequence[tuple[int, Interaction]]) -> None:
        ordered = sorted(events, key=lambda event: (event[1].ts, event[0]))
        self.users = [event.user_id for _, event in ordered]
        self.items = [event.item_id for _, event in ordered]
        self.types = torch.tensor([event.event_type for _, event in ordered], dtype=torch.int64)
        self.values = torch.tensor(
            [0.0 if event.value is None else event.value for _, event in ordered], dtype=torch.float32
        )
        self.ts = torch.tensor([event.ts for _, event in ordered], dtype=torch.int64)
        self.seq = torch.tensor([seq for seq, _ in ordered], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.users)
