"""Vectors of item texts: made once for the whole installation, by the worker that has partition 0 of `llm-jobs`.

Nobody waits for them, so they come a few at a time, behind the profiles. What is published already, of the same text by
the same model, is not made again: that is read from `item-vectors` itself at each start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import numpy as np

from dyngraph.event_id import digest_of
from dyngraph.events import Item
from llm_workers.protocols import TextEncoder
from llm_workers.vectors.items import item_text
from streams.artefact_messages import ItemVector
from streams.llm.known import Known
from streams.llm.outbox import Outbox

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Texts per call of the encoder: about 0.2 s on one core, for which the vectors of a profile may have to wait."""

LOOK_AGAIN_S = 1.0
"""While another worker has the partition."""


class ItemVectorMaker:
    """Keeps `item-vectors` up to date with `items`, while `mine()` says that it is this worker's task."""

    def __init__(self, encoder: TextEncoder, outbox: Outbox, mine: Callable[[], bool]) -> None:
        self._encoder = encoder
        self._outbox = outbox
        self._mine = mine
        self._waiting: dict[str, Item] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        """Items that have to be looked at."""
        return len(self._waiting)

    def changed(self, items: Sequence[Item]) -> None:
        """Texts may be new."""
        self._waiting.update((item.item_id, item) for item in items)
        if items:
            self._news.set()

    async def run(self, known: Known) -> None:
        """Make and publish vectors until cancelled."""
        while True:
            await self._news.wait()
            if not self._mine():
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            stale = self._stale(known)
            if stale:
                await self._make(known, stale)
            if not self._waiting:
                self._news.clear()

    def _stale(self, known: Known) -> list[tuple[str, str, str]]:
        """Items whose published vector is of another text: id, text, hash. At most `AT_ONCE`."""
        stale: list[tuple[str, str, str]] = []
        while self._waiting and len(stale) < AT_ONCE:
            item_id = next(iter(self._waiting))
            item = self._waiting.pop(item_id)
            text = "" if item.withdrawn else item_text(item)
            text_hash = digest_of(self._encoder.model_id, text)
            if text and known.vectors.get(item_id) != text_hash:
                stale.append((item_id, text, text_hash))
        return stale

    async def _make(self, known: Known, stale: Sequence[tuple[str, str, str]]) -> None:
        vectors = await asyncio.to_thread(self._encoder.encode, [text for _, text, _ in stale])
        for (item_id, _, text_hash), vector in zip(stale, vectors.astype("<f2"), strict=True):
            if not np.isfinite(vector).all():
                continue
            message = ItemVector(
                item_id=item_id, model_id=self._encoder.model_id, text_hash=text_hash, vector=vector.tobytes()
            )
            await self._outbox.item_vector(message)
            known.vectors[item_id] = text_hash
