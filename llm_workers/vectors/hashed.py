"""Random vectors: the control that shows whether an encoder's meaning, and not its mere width, is worth anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class RandomVectors:
    """A :class:`~llm_workers.protocols.TextEncoder`: equal texts, equal vectors; different ones, unrelated."""

    def __init__(self, width: int = 384, seed: int = 0) -> None:
        if width < 1:
            raise ValueError(f"width {width} is no width; give 1 or more")
        self._width, self._seed = width, seed

    @property
    def model_id(self) -> str:
        """Says that there is nothing behind it."""
        return f"random-{self._width}-{self._seed}"

    @property
    def width(self) -> int:
        """As asked."""
        return self._width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1, uniform on the sphere; zeros for an empty text."""
        vectors = np.zeros((len(texts), self._width), np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                key = hashlib.blake2b(f"{self._seed} {text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
                drawn = np.random.Generator(np.random.PCG64(int.from_bytes(key))).standard_normal(self._width)
                vectors[row] = drawn / np.linalg.norm(drawn)
        return vectors
