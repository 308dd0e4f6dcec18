"""Where steps may be cut."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Batching:
    """``adaptive`` (cut anywhere) or ``fixed:B`` (a border at every offset divisible by B).

    >>> Batching.parse("fixed:100").border(250)
    299
    >>> Batching.parse("adaptive").border(250) is None
    True
    """

    size: int | None

    @classmethod
    def parse(cls, text: str) -> Batching:
        """Read a setting. Raises ValueError that says what is allowed."""
        if text == "adaptive":
            return cls(None)
        kind, _, size = text.partition(":")
        if kind == "fixed" and size.isdigit() and int(size) > 0:
            return cls(int(size))
        raise ValueError(f"batching {text!r} is unknown; use adaptive, or fixed:B with B of at least 1")

    def border(self, first: int) -> int | None:
        """Last offset of the step that starts at offset ``first``; None if it may end anywhere."""
        return None if self.size is None else (first // self.size + 1) * self.size - 1
