"""Text vectors from an ``/embeddings`` endpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from llm_workers.client.budget import TokenBudget
from llm_workers.client.transport import Transport
from llm_workers.client.usage import Figures
from llm_workers.config import LlmConfig, LlmConfigError
from llm_workers.protocols import LlmError

KIND = "embeddings"
"""How usage and cost are booked."""
BATCH_TEXTS = 128
BATCH_BYTES = 64_000


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Rows(msgspec.Struct):
    data: list[_Row]


class EndpointEmbeddings:
    """The model ``embeddings_model``; belongs to one event loop. Raises ``LlmConfigError`` where none is set."""

    def __init__(self, config: LlmConfig, *, environ: Mapping[str, str] | None = None) -> None:
        if not config.embeddings_model:
            raise LlmConfigError("embeddings_model is empty: give the model's name, as the server calls it")
        self.model_id, self.width = config.embeddings_model, config.embeddings_width
        self._transport = Transport(
            config,
            base_url=config.embeddings_base_url,
            prices=(config.usd_per_million_embedded, 0.0),
            environ=environ,
            budget=TokenBudget(config.embeddings_tokens_per_minute),
        )

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1; zeros for an empty text. Raises :class:`LlmError`."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        filled = [row for row, text in enumerate(texts) if text.strip()]
        batches = list(_batches(filled, texts))
        made = await asyncio.gather(*(self._embed_batch([texts[row] for row in batch]) for batch in batches))
        for batch, rows in zip(batches, made, strict=True):
            vectors[batch] = rows
        return vectors

    def figures(self) -> Figures:
        """Usage and cost."""
        return self._transport.usage.as_dict()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _embed_batch(self, texts: list[str]) -> NDArray[np.float32]:
        body: dict[str, Any] = {"model": self.model_id, "input": texts, "encoding_format": "float"}
        most = sum(len(text.encode()) + 8 for text in texts)
        reply, _ = await self._transport.post(KIND, "/embeddings", body, most)
        vectors = _vectors(reply)
        if vectors.shape != (len(texts), self.width) or not np.isfinite(vectors).all():
            raise LlmError(
                "invalid_answer",
                f"embeddings_model = {self.model_id!r}: wanted {len(texts)} vectors of embeddings_width = {self.width} "
                f"finite numbers, got an array of {vectors.shape}; set the width to the model's",
                retry=False,
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        made: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
        return made


class EndpointEncoder:
    """A blocking :class:`~llm_workers.protocols.TextEncoder` over :class:`EndpointEmbeddings`.

    Owns an event loop; call it from a thread that runs none (a worker's thread pool). Calls take turns.
    """

    def __init__(self, config: LlmConfig, *, environ: Mapping[str, str] | None = None) -> None:
        self._embeddings = EndpointEmbeddings(config, environ=environ)
        self._runner, self._turn = asyncio.Runner(), threading.Lock()

    @property
    def model_id(self) -> str:
        """Which model."""
        return self._embeddings.model_id

    @property
    def width(self) -> int:
        """Numbers per vector."""
        return self._embeddings.width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1; zeros for an empty text. Raises :class:`LlmError`."""
        with self._turn:
            return self._runner.run(self._embeddings.embed(texts))

    def figures(self) -> Figures:
        """Usage and cost."""
        return self._embeddings.figures()

    def close(self) -> None:
        """Close the connections and the loop."""
        with self._turn:
            self._runner.run(self._embeddings.close())
            self._runner.close()


def _batches(rows: Sequence[int], texts: Sequence[str]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for row in rows:
        more = len(texts[row].encode())
        if batch and (len(batch) == BATCH_TEXTS or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += more
    if batch:
        yield batch


def _vectors(reply: Any) -> NDArray[np.float64]:
    """In the order of the texts; an empty array for what is no such reply."""
    try:
        rows = sorted(msgspec.convert(reply, _Rows, strict=False).data, key=lambda row: row.index)
        return np.array([row.embedding for row in rows], np.float64)
    except (msgspec.ValidationError, ValueError):
        return np.zeros((0, 0))
