"""An encoder that keeps what it has encoded: phrases and titles come again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llm_workers.protocols import TextEncoder


class Store(Protocol):
    """Bytes by key: :class:`llm_workers.store.Store`."""

    def get(self, key: str) -> bytes | None:
        """What was put, or none."""
        ...

    def put_many(self, entries: Iterable[tuple[str, bytes, str]]) -> None:
        """Keep (key, value, owner) in one go; vectors have no owner."""
        ...


class CachedEncoder:
    """A :class:`~llm_workers.protocols.TextEncoder` before another one; vectors are kept as float16.

    A first and a later answer are equal, as both have gone through float16 (relative error 5e-4). The key is made of
    the model id and the text. An entry of another length than the model's vectors counts as none and is replaced.
    """

    def __init__(self, encoder: TextEncoder, store: Store) -> None:
        self._encoder, self._store = encoder, store
        self.asked = self.found = 0
        """Texts asked for, and those of them that were kept already."""

    @property
    def model_id(self) -> str:
        """That of the encoder behind."""
        return self._encoder.model_id

    @property
    def width(self) -> int:
        """That of the encoder behind."""
        return self._encoder.width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1; zeros for an empty text."""
        keys = {text: self._key(text) for text in texts if text.strip()}
        kept = {text: raw for text, key in keys.items() if (raw := self._store.get(key)) and self._fits(raw)}
        self.asked, self.found = self.asked + len(keys), self.found + len(kept)
        if missing := [text for text in keys if text not in kept]:
            vectors = self._encoder.encode(missing).astype("<f2")
            fresh = {text: vector.tobytes() for text, vector in zip(missing, vectors, strict=True)}
            self._store.put_many((keys[text], raw, "") for text, raw in fresh.items())
            kept |= fresh
        found = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            if text in kept:
                found[row] = np.frombuffer(kept[text], "<f2")
        return found

    def _fits(self, raw: bytes) -> bool:
        return len(raw) == 2 * self.width

    def _key(self, text: str) -> str:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        return f"vector/{self.model_id}/{digest}"
