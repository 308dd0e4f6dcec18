"""The vectors that a profile carries: one per facet, made of its phrases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dyngraph.profiles import FACETS
from llm_workers.protocols import Facets, TextEncoder


def facet_vectors(facets: Facets, encoder: TextEncoder) -> bytes:
    """Float16, little endian, ``[4, w]``, rows as :data:`dyngraph.profiles.FACETS`.

    A row is the mean of the vectors of the facet's phrases, the one at rank r with weight 1 / log2(1 + r), brought to
    length 1; zeros where a facet has no phrases (or phrases that cancel out).
    """
    phrases: list[tuple[str, ...]] = [getattr(facets, facet) for facet in FACETS]
    distinct = list(dict.fromkeys(phrase for facet in phrases for phrase in facet))
    vector = dict(zip(distinct, encoder.encode(distinct), strict=True)) if distinct else {}
    rows = np.zeros((len(FACETS), encoder.width), np.float32)
    for row, facet in enumerate(phrases):
        if facet:
            rows[row] = _unit(falling(len(facet)) @ np.stack([vector[phrase] for phrase in facet]))
    return rows.astype("<f2").tobytes()


def falling(n: int) -> NDArray[np.float32]:
    """``[n]`` weights of ranks 1 to n, falling as 1 / log2(1 + r)."""
    return (1 / np.log2(np.arange(2, n + 2))).astype(np.float32)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.zeros_like(vector)
