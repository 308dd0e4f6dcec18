"""A workbench on a real event loop, with producers that do what LLMs do on bad days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from dyngraph.profiles import UserProfile
from llm_workers.protocols import Facets, LlmError, ProducedProfile, ProducerName, ProfileRequest
from llm_workers.work import Job, Outcome, Workbench, WorkConfig
from llm_workers.work.making import profile_maker

Answer = Callable[[ProfileRequest], Coroutine[Any, Any, object]]
"""What a producer does with a request."""

QUICK = WorkConfig(concurrency=2, attempts=3, first_wait_s=0.01, longest_wait_s=0.05, deadline_s=5)


def job(user: str, ts: int, priority: float = 0.5, offset: int = 0) -> Job[ProfileRequest]:
    """Of a horizon."""
    return Job(ProfileRequest(user, ts, offset, 3, ()), f"{user}:{ts}:{offset}", priority)


def made(request: ProfileRequest) -> ProducedProfile:
    """A proper answer that names whom it is about."""
    return ProducedProfile(Facets(segment=(f"of {request.user_id}",)), "statistical", "none", "v1")


class Producer:
    """Does what ``answer`` does; knows who is being worked for, and refuses two at a time of one user."""

    name: ProducerName = "statistical"

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, list[ProfileRequest]()
        self.in_flight: set[str] = set()
        self.most = 0

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        assert request.user_id not in self.in_flight, f"two of {request.user_id} in flight"
        self.asked.append(request)
        self.in_flight.add(request.user_id)
        self.most = max(self.most, len(self.in_flight))
        try:
            return cast(ProducedProfile, await self.answer(request))
        finally:
            self.in_flight.discard(request.user_id)


class WorkRig:
    """A bench, and what came out of it."""

    def __init__(
        self,
        answer: Answer,
        config: WorkConfig = QUICK,
        encode: Callable[[Facets], bytes] | None = None,
    ) -> None:
        self.producer = Producer(answer)
        self.published, self.given_up = list[UserProfile](), list[tuple[Job[ProfileRequest], LlmError]]()
        self.publish_s, self.refuses_to_publish = 0.0, False
        self.bench = Workbench(
            profile_maker(self.producer, encode, config.deadline_s), self._publish, self._dead, config
        )

    async def _publish(self, profile: UserProfile, job: Job[ProfileRequest]) -> None:
        assert (profile.user_id, profile.ts) == (job.request.user_id, job.request.ts)
        await asyncio.sleep(self.publish_s)
        if self.refuses_to_publish:
            raise ConnectionError("no broker")
        self.published.append(profile)

    async def _dead(self, job: Job[ProfileRequest], error: LlmError) -> None:
        self.given_up.append((job, error))

    async def all_of(self, *jobs: Job[ProfileRequest]) -> list[Outcome]:
        """Put them, and wait until all are finished."""
        return await asyncio.wait_for(asyncio.gather(*(self.bench.put(one) for one in jobs)), 10)


async def at_once(request: ProfileRequest) -> object:
    return made(request)


async def in_a_moment(request: ProfileRequest) -> object:
    await asyncio.sleep(0.02)
    return made(request)


async def never(request: ProfileRequest) -> object:
    await asyncio.Event().wait()
    raise AssertionError("woken")


async def stubborn(request: ProfileRequest) -> object:
    """Answers although it was cancelled."""
    try:
        await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        await asyncio.sleep(0.02)
    return made(request)
