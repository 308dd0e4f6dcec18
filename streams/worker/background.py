"""Work in the background of a worker process, of which none may fail unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """Tasks that are kept until they are cancelled together; `fail` is told what one of them raised."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._fail = fail

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something that goes on beside the rest."""
        self.tasks.add(asyncio.create_task(self.guarded(work)))

    async def guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """The work itself, for tasks that are kept elsewhere."""
        try:
            await work
        except Exception as error:
            log.exception("background work failed")
            self._fail(error)
