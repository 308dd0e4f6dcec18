"""What the kernels of bulk reasoning are handed besides items and counts: bounds, what is filled, and room to work."""

from __future__ import annotations

from typing import Any, NamedTuple


class Bounds(NamedTuple):
    """The settings, as the kernels take them."""

    threshold: float
    verify: bool
    most_steps: int
    proposals: int
    chains: int
    ideas: int
    most_imagined: int
    repeats: bool


class Made(NamedTuple):
    """What is filled, an entry per event; see :class:`llm_workers.reasoning.bulk.BulkGraphs`."""

    came_from: Any
    kind: Any
    concept: Any
    score: Any
    dropped: Any
    imagined: Any
    """``[E, most]`` item codes, the most credible first."""
    imagined_step: Any
    imagined_after: Any
    imagined_score: Any
    imagined_count: Any
    """``[E]``."""


class Scratch(NamedTuple):
    """Room that is used again for each user."""

    dense: Any
    """``[N]`` zeros."""
    stamp: Any
    """``[N]`` int64, when an item was last met."""
    clock: Any
    """``[1]`` int64."""
    candidates: Any
    values: Any
