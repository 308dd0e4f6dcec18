"""What may differ between two sequential base models."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Contrast = Literal["off", "un", "su", "us", "us_x"]


class SequentialConfig(msgspec.Struct, frozen=True):
    """Sizes and objective; the defaults are DuoRec's (Qiu et al., WSDM 2022) on Amazon sets.

    Raises ValueError for settings that do not go together.
    """

    dim: int = 64
    layers: int = 2
    heads: int = 2
    inner: int = 256
    """Width inside a feed-forward layer."""
    dropout: float = 0.5
    longest: int = 50
    """Items of a history that are read, the latest."""
    contrast: Contrast = "us_x"
    """Which encodings are drawn together: ``un`` the encoding and one with other dropout, ``su`` the encoding and that
    of another history with the same next item, ``us`` both, ``us_x`` the latter two; ``off`` is SASRec."""
    dropout_weight: float = 0.1
    """λ, weight of the term between two dropouts (``un``, ``us``)."""
    target_weight: float = 0.1
    """λ_sem, weight of the term with another history of the same next item (``su``, ``us``, ``us_x``)."""
    temperature: float = 1.0
    seed: int = 0
    """Of the first weights."""

    def __post_init__(self) -> None:
        if self.contrast not in get_args(Contrast):
            raise ValueError(f"contrast={self.contrast!r} is unknown; use one of: {', '.join(get_args(Contrast))}")
        if self.dim % self.heads:
            raise ValueError(f"dim={self.dim} cannot be split into heads={self.heads}; use a multiple")
        if min(self.layers, self.longest) < 1:
            raise ValueError(f"layers={self.layers} and longest={self.longest}: use 1 or more of both")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} is no share; use 0 up to, not including, 1")
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature}: use a number above 0")

    @property
    def drops_again(self) -> bool:
        """Whether the objective encodes each history a second time."""
        return self.contrast in ("un", "us", "us_x")

    @property
    def meets_another(self) -> bool:
        """Whether the objective needs another history with the same next item."""
        return self.contrast in ("su", "us", "us_x")


SASREC = SequentialConfig(contrast="off")
DUOREC = SequentialConfig()
