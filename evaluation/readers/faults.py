"""A fault that a format's parser finds before roles are known."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """``row`` is 0-based; ``column`` is None where the whole row is unusable."""

    row: int
    column: str | None
    message: str
