"""Profiles for a replay: the refresh policy asks after each step, and what the producers make arrives in log time.

Nothing here knows more than a live LLM worker: a job carries the past up to its horizon, the catalogue gives the texts,
and the profile counts for later events only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dyngraph.engine import Engine, StepResult
from dyngraph.profiles import ProfileStore, UserProfile
from dyngraph.refreshing import Refresh, Wanted
from evaluation.due_jobs import DueJobs
from llm_workers.protocols import Facets, LlmError, ProducedProfile, ProfileProducer, ProfileRequest
from llm_workers.requests import profile_request

Vectors = Callable[[Sequence[Facets]], list[bytes]]
"""Facet phrases of several profiles to float16 vectors, as :func:`llm_workers.vectors.facets.facet_vectors` makes them;
many at once, because a text model is many times faster so."""


@dataclass
class Line:
    """One kind of profile: who makes it, in which vectors, and where it is kept."""

    producer: ProfileProducer
    vectors: Vectors
    store: ProfileStore
    made: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By :attr:`LlmError.code`."""


class ProfileFeed:
    """Brings the profiles of several lines, all made from the same jobs, ``delay_ms`` of log time after their horizon.

    The policy looks at the graph's own profiles: the first line should be kept there.
    """

    def __init__(
        self,
        policy: Refresh,
        lines: Sequence[Line],
        delay_ms: int = 0,
        asked: Callable[[ProfileRequest], None] = lambda request: None,
    ) -> None:
        self.lines = list(lines)
        self.jobs = DueJobs(policy, delay_ms)
        self._asked = asked

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> None:
        """Ask for what is worth renewing after a step, and bring what is due by now."""
        if arrived := self.jobs.after_step(engine, step, offset):
            asyncio.run(self._bring(engine, arrived))

    async def _bring(self, engine: Engine, arrived: Sequence[Wanted]) -> None:
        requests = [profile_request(wanted, engine.graph.catalogue.get) for wanted in arrived]
        for request in requests:
            self._asked(request)
        for line in self.lines:
            made = [(request, produced) for request in requests if (produced := await _produced(line, request))]
            vectors = line.vectors([produced.facets for _, produced in made])
            for (request, produced), vector in zip(made, vectors, strict=True):
                line.made += line.store.put(_profile(request, produced, vector))


async def _produced(line: Line, request: ProfileRequest) -> ProducedProfile | None:
    try:
        return await line.producer.profile(request)
    except LlmError as error:
        line.failed[error.code] += 1
        return None


def _profile(request: ProfileRequest, produced: ProducedProfile, vectors: bytes) -> UserProfile:
    facets = produced.facets
    return UserProfile(
        request.user_id,
        request.ts,
        request.offset,
        request.events,
        (facets.segment, facets.interests, facets.categories, facets.brands),
        vectors,
        produced.producer,
        produced.model_id,
        produced.prompt_version,
    )
