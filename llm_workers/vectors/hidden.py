"""Hidden states of the embedded language model as text vectors, for an ablation: it was not trained for this."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm_workers.local_model import LocalModel

LONGEST = 600
"""Characters that are read of a text; some hundred tokens, at 15 ms each."""

AT_ONCE = 16
"""Texts of one call."""


class HiddenStates:
    """A :class:`~llm_workers.protocols.TextEncoder`: the last layer's mean over a text's tokens, ``[576]`` for SmolLM2.

    All such vectors point in much the same direction; with ``centre`` ``[w]``, the mean vector of a catalogue, what
    they share is taken away first.

    Raises :class:`~llm_workers.protocols.LlmError` (``unavailable``) at the first use where engine or weights miss.
    """

    def __init__(self, model: LocalModel | None = None, centre: NDArray[np.float32] | None = None) -> None:
        self._model = model or LocalModel(embedding=True, context=1024)
        self._centre, self._width = centre, 0

    @property
    def model_id(self) -> str:
        """The language model's, and that these are its hidden states."""
        return f"{self._model.model_id}-hidden" + ("" if self._centre is None else "-centred")

    @property
    def width(self) -> int:
        """Known from the model itself."""
        if not self._width:
            self._width = len(self._model.embed(["width"])[0])
        return self._width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1; zeros for an empty text."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            found = np.array(self._model.embed([texts[row].strip()[:LONGEST] for row in part]), np.float32)
            if self._centre is not None:
                found -= self._centre
            vectors[part] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return vectors
