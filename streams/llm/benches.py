"""The workbenches of an LLM worker, one for each kind of artefact, behind one door."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dyngraph.events import Item
from llm_workers.work import Job, Outcome, Workbench
from streams.artefact_messages import LlmJob


@dataclass(frozen=True)
class Kind:
    """How jobs of one kind are done."""

    request_of: Callable[[LlmJob, Mapping[str, Item]], Any]
    bench: Workbench[Any, Any]


class Benches:
    """Puts each job on the bench of its kind."""

    def __init__(self, kinds: Mapping[str, Kind], items: Mapping[str, Item]) -> None:
        self._kinds, self._items = dict(kinds), items

    def put(self, job: LlmJob) -> asyncio.Future[Outcome]:
        """Take a job; the future tells how it ended."""
        kind = self._kinds[job.kind]
        return kind.bench.put(Job(kind.request_of(job, self._items), job.job_id, job.priority))

    async def erase(self, user_id: str) -> None:
        """Give up all of a user's jobs: once this returns, nothing of them will be published."""
        await self._all(lambda bench: bench.erase(user_id))

    async def close(self) -> None:
        """Stop at once."""
        await self._all(Workbench.close)

    def figures(self) -> dict[str, dict[str, Any]]:
        """How things stand, by kind."""
        return {name: msgspec.structs.asdict(kind.bench.figures()) for name, kind in self._kinds.items()}

    async def _all(self, do: Callable[[Workbench[Any, Any]], Awaitable[None]]) -> None:
        await asyncio.gather(*(do(kind.bench) for kind in self._kinds.values()))
