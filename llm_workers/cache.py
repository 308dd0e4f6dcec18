"""Answers that were paid for once: the cache, and the answerers that read it.

An answer is kept under a hash of the model, the prompt's version and its whole content, after it was checked. So a
cache file that is full needs no model: a replay with :class:`RecordedAnswerer` gives the same profiles every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from llm_workers.protocols import Answer, Answerer, LlmError, Prompt
from llm_workers.store import LOCK_WAIT_S, Store

Check = Callable[[Prompt, str], str]
"""Gives an answer's text in its clean form. Raises :class:`LlmError` (``invalid_answer``)."""


def cache_key(model_id: str, prompt: Prompt) -> str:
    """40 hexadecimal digits; also the ``custom_id`` of batch jobs. The prompt's owner is no part of it."""
    content = [model_id, prompt.kind, prompt.version, prompt.system, prompt.user, prompt.schema, prompt.max_tokens]
    return hashlib.blake2b(msgspec.json.encode(content, order="sorted"), digest_size=20).hexdigest()


class AnswerCache:
    """Texts of checked answers, in ``path`` (None: in memory); ``given``: as of :class:`~llm_workers.store.Store`."""

    def __init__(
        self, path: Path | None, max_bytes: int, *, lock_wait_s: float = LOCK_WAIT_S, given: bool = False
    ) -> None:
        self.store = Store(path, max_bytes, lock_wait_s=lock_wait_s, given=given)
        """Anything else may lie in it too, under keys that do not look like ours."""
        self._forgettings: Counter[str] = Counter()
        self._turn = threading.Lock()

    def get(self, model_id: str, prompt: Prompt) -> str | None:
        """The answer's text, or None."""
        value = self.store.get(cache_key(model_id, prompt))
        return None if value is None else value.decode("utf-8", "replace")

    def forgettings(self, owner: str) -> int:
        """How often the owner was forgotten."""
        return self._forgettings[owner]

    def put(self, model_id: str, prompt: Prompt, text: str, *, asked_at: int | None = None) -> None:
        """Keep a checked answer, unless its owner was forgotten since :meth:`forgettings` gave ``asked_at``."""
        with self._turn:
            if asked_at is None or asked_at == self._forgettings[prompt.owner]:
                self.store.put(cache_key(model_id, prompt), text.encode(), prompt.owner)

    def drop(self, model_id: str, prompt: Prompt) -> None:
        """Forget an answer."""
        self.store.drop(cache_key(model_id, prompt))

    def forget_owner(self, owner: str) -> int:
        """Erase a user's answers and waiting prompts. Raises :class:`~llm_workers.store.StoreError`."""
        with self._turn:
            self._forgettings[owner] += 1
            return self.store.forget_owner(owner)

    def figures(self) -> dict[str, int]:
        """Hits, misses, what was evicted and bypassed; entries, bytes and prompts that wait for an import."""
        store = self.store
        return {**store.figures, "entries": len(store), "bytes": store.size, "waiting": store.waiting}

    def close(self) -> None:
        """Close the file."""
        self.store.close()


class RecordedAnswerer:
    """Answers from the cache and from nowhere else."""

    def __init__(self, cache: AnswerCache, model_id: str) -> None:
        self._cache, self._model_id = cache, model_id

    @property
    def model_id(self) -> str:
        """Whose answers were recorded."""
        return self._model_id

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError` (``not_recorded``)."""
        text = self._cache.get(self._model_id, prompt)
        if text is None:
            raise LlmError(
                "not_recorded",
                f"no answer of {self._model_id!r} to {prompt.version} "
                f"{cache_key(self._model_id, prompt)} is in the cache; export the job and import its answer",
                retry=False,
            )
        return Answer(text, self._model_id, cached=True)


class CachedAnswerer:
    """Asks ``answerer`` only what the cache cannot answer, and keeps what passes ``check``.

    A cached text that does not pass (a foreign file, an older check) is forgotten and asked for again.
    """

    def __init__(self, answerer: Answerer, cache: AnswerCache, check: Check) -> None:
        self._answerer, self._cache, self._check = answerer, cache, check

    @property
    def model_id(self) -> str:
        """Of the answerer."""
        return self._answerer.model_id

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError`."""
        # Reads wait for nobody and take 0.1 ms, less than a change of threads; writes may wait for another process.
        text = self._cache.get(self.model_id, prompt)
        if text is not None:
            try:
                return Answer(self._check(prompt, text), self.model_id, cached=True)
            except LlmError:
                await asyncio.to_thread(self._cache.drop, self.model_id, prompt)
        asked_at = self._cache.forgettings(prompt.owner)
        answer = await self._answerer.answer(prompt)
        checked = msgspec.structs.replace(answer, text=self._check(prompt, answer.text))
        await asyncio.to_thread(self._cache.put, self.model_id, prompt, checked.text, asked_at=asked_at)
        return checked
