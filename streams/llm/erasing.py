"""Erasures at an LLM worker: jobs, cached answers, and what it may have published of a user since."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from llm_workers.cache import AnswerCache
from llm_workers.store_file import StoreError
from streams.llm.benches import Benches
from streams.llm.outbox import Outbox
from streams.worker.erasures import Erasures

log = logging.getLogger(__name__)

BUSY_WAITS_S = (1.0, 5.0, 15.0)
"""Others may keep the cache file busy; an erasure waits for them, so long before each further attempt."""


class Erasing:
    """Honours tombstones of `users`, each once."""

    def __init__(self, benches: Benches, cache: AnswerCache, outbox: Outbox) -> None:
        self._benches = benches
        self._cache = cache
        self._outbox = outbox
        self._done: Erasures | None = None
        self._late: list[tuple[str, int]] | None = []
        """Tombstones that were read before anything can be published; None from then on."""

    def bind(self, folder: Path, users_log: str) -> None:
        """Say where it is kept which tombstones are done, and which log they are of."""
        self._done = Erasures(folder, users_log)

    async def erase(self, user_id: str, offset: int) -> None:
        """Honour the tombstone at `offset`. Raises `StoreError` where the cache file stays busy."""
        assert self._done is not None
        if self._done.honoured(offset):
            return
        await self._benches.erase(user_id)
        await self._forget_answers(user_id)
        if self._late is not None:
            self._late.append((user_id, offset))
            return
        await self._outbox.take_back(user_id)
        self._done.mark(offset)

    async def can_publish(self) -> None:
        """Finish what came while this worker was down.

        One that has never run has published nothing that an old tombstone could mean: the user may have come back.
        """
        assert self._done is not None
        late, self._late = self._late or [], None
        for user_id, offset in late:
            if not self._done.begun:
                await self._outbox.take_back(user_id)
            self._done.mark(offset)
        self._done.mark(-1)  # from now on there is something to miss

    async def _forget_answers(self, user_id: str) -> None:
        for wait_s in (*BUSY_WAITS_S, None):
            try:
                await asyncio.to_thread(self._cache.forget_owner, user_id)
                return
            except StoreError as error:
                if wait_s is None:
                    raise
                log.warning("an erasure waits: %s", error)
                await asyncio.sleep(wait_s)
