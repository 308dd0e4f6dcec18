"""Producers that are slow, down, broken or write garbage, a broker that is away, and users who want to be forgotten."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from unit.llm_workers.work_rig import (
    QUICK,
    Answer,
    WorkRig,
    at_once,
    in_a_moment,
    job,
    made,
    never,
    stubborn,
)

from dyngraph.profiles import FACETS
from llm_workers.protocols import Facets, LlmError, ProducedProfile, ProfileRequest
from llm_workers.work import Outcome, WorkConfig


def failing(times: int, error: LlmError) -> Answer:
    """Fails so often per user, then answers."""
    failed: dict[str, int] = {}

    async def answer(request: ProfileRequest) -> object:
        failed[request.user_id] = failed.get(request.user_id, 0) + 1
        if failed[request.user_id] <= times:
            raise error
        return made(request)

    return answer


def test_what_may_work_later_is_tried_again() -> None:
    async def run() -> None:
        rig = WorkRig(failing(2, LlmError("timeout", "too slow", retry=True)))
        assert await rig.all_of(job("ann", 1)) == [Outcome.PUBLISHED]
        assert len(rig.producer.asked) == 3
        assert rig.bench.figures().retried == 2

    asyncio.run(run())


def test_it_is_given_up_after_so_many_attempts_with_the_last_error() -> None:
    async def run() -> None:
        error = LlmError("timeout", "too slow", retry=True)
        rig = WorkRig(failing(99, error))
        assert await rig.all_of(job("ann", 1)) == [Outcome.DEAD]
        assert len(rig.producer.asked) == QUICK.attempts
        assert rig.given_up == [(job("ann", 1), error)]

    asyncio.run(run())


def test_what_will_never_work_is_not_tried_again() -> None:
    async def run() -> None:
        rig = WorkRig(failing(99, LlmError("unauthorised", "wrong key", retry=False)))
        assert await rig.all_of(job("ann", 1), job("bob", 1)) == [Outcome.DEAD] * 2
        assert len(rig.producer.asked) == 2

    asyncio.run(run())


def test_waits_grow_and_others_go_on_meanwhile() -> None:
    async def run() -> None:
        moments: dict[str, list[float]] = {"bad": [], "good": []}

        async def answer(request: ProfileRequest) -> object:
            moments[request.user_id].append(time.monotonic())
            if request.user_id == "bad":
                raise LlmError("timeout", "too slow", retry=True)
            return made(request)

        config = WorkConfig(concurrency=1, attempts=4, first_wait_s=0.04, longest_wait_s=0.12)
        rig = WorkRig(answer, config)
        await rig.all_of(job("bad", 1, 1.0), job("good", 1, 0.0))
        first, *_ = moments["bad"]
        assert moments["good"][0] < first + 0.02
        waits = [later - sooner for sooner, later in zip(moments["bad"], moments["bad"][1:], strict=False)]
        for wait, least in zip(waits, (0.02, 0.04, 0.06), strict=True):
            assert wait >= least

    asyncio.run(run())


def test_when_the_server_asks_to_wait_all_users_wait() -> None:
    async def run() -> None:
        moments = list[float]()

        async def answer(request: ProfileRequest) -> object:
            moments.append(time.monotonic())
            if len(moments) == 1:
                raise LlmError("rate_limited", "slow down", retry=True, after_s=0.1)
            return made(request)

        rig = WorkRig(answer, WorkConfig(concurrency=1, first_wait_s=0.001))
        await rig.all_of(*(job(f"user-{number}", 1) for number in range(3)))
        assert moments[1] - moments[0] >= 0.1
        assert moments[-1] - moments[1] < 0.1

    asyncio.run(run())


def test_an_outage_does_not_use_up_the_attempts_of_all_who_wait() -> None:
    async def run() -> None:
        rig = WorkRig(
            failing(99, LlmError("unavailable", "down", retry=True)),
            WorkConfig(concurrency=2, attempts=2, first_wait_s=0.02),
        )
        futures = [rig.bench.put(job(f"user-{number}", 1)) for number in range(200)]
        await asyncio.sleep(0.2)
        assert len(rig.producer.asked) < 20  # two at a time, between rests that grow
        await rig.bench.close()
        assert sum(future.cancelled() for future in futures) > 180

    asyncio.run(run())


@pytest.mark.parametrize(
    "garbage",
    [None, "prose", {"facets": {}}, ProducedProfile(Facets(segment=(1,)), "statistical", "m", "v"), object()],  # type: ignore[arg-type]
    ids=lambda garbage: type(garbage).__name__,
)
def test_garbage_is_given_up_and_never_published(garbage: object) -> None:
    async def run() -> None:
        async def answer(request: ProfileRequest) -> object:
            return garbage if request.user_id == "ann" else made(request)

        rig = WorkRig(answer)
        assert await rig.all_of(job("ann", 1), job("bob", 1)) == [Outcome.DEAD, Outcome.PUBLISHED]
        ((_, error),) = rig.given_up
        assert error.code == "invalid_answer" and "statistical" in str(error)

    asyncio.run(run())


def test_a_producer_that_breaks_is_named_and_its_words_are_not() -> None:
    async def run() -> None:
        async def answer(request: ProfileRequest) -> object:
            raise KeyError("what ann bought")

        rig = WorkRig(answer)
        assert await rig.all_of(job("ann", 1)) == [Outcome.DEAD]
        ((_, error),) = rig.given_up
        assert error.code == "broken_producer" and "KeyError" in str(error) and "ann" not in str(error)

    asyncio.run(run())


def test_a_producer_that_cancels_itself_does_not_stop_the_work() -> None:
    async def run() -> None:
        async def answer(request: ProfileRequest) -> object:
            if request.user_id == "ann":
                raise asyncio.CancelledError
            return made(request)

        rig = WorkRig(answer, WorkConfig(concurrency=1, attempts=2, first_wait_s=0.001))
        assert await rig.all_of(job("ann", 1), job("bob", 1)) == [Outcome.DEAD, Outcome.PUBLISHED]

    asyncio.run(run())


def test_a_producer_that_hangs_is_let_go() -> None:
    async def run() -> None:
        rig = WorkRig(never, WorkConfig(concurrency=1, attempts=2, first_wait_s=0.001, deadline_s=0.02))
        assert await rig.all_of(job("ann", 1)) == [Outcome.DEAD]
        assert rig.given_up[0][1].code == "timeout"

    asyncio.run(run())


def test_the_profile_has_what_the_request_said_and_what_was_made() -> None:
    async def run() -> None:
        threads = set[int]()

        def encode(facets: Facets) -> bytes:
            threads.add(threading.get_ident())
            return b"vectors of " + facets.segment[0].encode()

        rig = WorkRig(at_once, encode=encode)
        await rig.all_of(job("ann", 7, offset=3))
        (profile,) = rig.published
        assert (profile.user_id, profile.ts, profile.offset, profile.events) == ("ann", 7, 3, 3)
        assert dict(zip(FACETS, profile.facets, strict=True))["segment"] == ("of ann",)
        assert profile.vectors == b"vectors of of ann"
        assert profile.created_at > 0 and profile.producer == "statistical"
        assert threading.get_ident() not in threads

    asyncio.run(run())


def test_an_encoder_that_breaks_costs_the_job_and_nothing_else() -> None:
    async def run() -> None:
        def encode(facets: Facets) -> bytes:
            raise OSError("weights are gone")

        rig = WorkRig(at_once, encode=encode)
        assert await rig.all_of(job("ann", 1), job("bob", 1)) == [Outcome.DEAD] * 2

    asyncio.run(run())


def test_what_cannot_be_published_is_not_finished() -> None:
    async def run() -> None:
        rig = WorkRig(at_once)
        rig.refuses_to_publish = True
        with pytest.raises(ConnectionError):
            await rig.bench.put(job("ann", 1))
        rig.refuses_to_publish = False
        assert await rig.all_of(job("ann", 1)) == [Outcome.PUBLISHED]
        assert rig.bench.figures().unpublished == 1

    asyncio.run(run())


def test_a_newer_job_takes_over_from_one_that_failed() -> None:
    async def run() -> None:
        rig = WorkRig(failing(1, LlmError("timeout", "too slow", retry=True)))
        first = rig.bench.put(job("ann", 1))
        await asyncio.sleep(0)
        second = rig.bench.put(job("ann", 2))
        assert [await first, await second] == [Outcome.COALESCED, Outcome.PUBLISHED]
        assert [one.ts for one in rig.published] == [2]

    asyncio.run(run())


@pytest.mark.parametrize("answer", [never, in_a_moment, stubborn], ids=lambda one: one.__name__)
def test_an_erased_user_is_never_published(answer: Answer) -> None:
    async def run() -> None:
        rig = WorkRig(answer, WorkConfig(concurrency=1))
        in_flight = rig.bench.put(job("ann", 1))
        await asyncio.sleep(0.005)
        waiting = rig.bench.put(job("ann", 2))
        await asyncio.wait_for(rig.bench.erase("ann"), 1)
        assert [await in_flight, await waiting] == [Outcome.ERASED] * 2
        await asyncio.wait_for(rig.bench.idle(), 2)
        assert not rig.published and not rig.given_up
        assert rig.bench.figures().erased == 2

    asyncio.run(run())


def test_an_erased_users_failures_are_no_dead_letters() -> None:
    async def run() -> None:
        async def answer(request: ProfileRequest) -> object:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                raise LlmError("timeout", "connection closed", retry=False) from None
            return made(request)

        rig = WorkRig(answer)
        future = rig.bench.put(job("ann", 1))
        await asyncio.sleep(0.005)
        await rig.bench.erase("ann")
        assert await future is Outcome.ERASED and not rig.given_up

    asyncio.run(run())


def test_an_erasure_waits_for_what_is_being_published() -> None:
    async def run() -> None:
        rig = WorkRig(at_once)
        rig.publish_s = 0.05
        future = rig.bench.put(job("ann", 1))
        await asyncio.sleep(0.01)
        await rig.bench.erase("ann")
        assert future.done() and len(rig.published) == 1  # the tombstone that follows comes after it

    asyncio.run(run())


def test_jobs_of_before_the_erasure_are_refused_and_later_ones_taken() -> None:
    async def run() -> None:
        rig = WorkRig(at_once)
        await rig.bench.erase("ann", until_ts=100)
        outcomes = await rig.all_of(job("ann", 100), job("bob", 100), job("ann", 101))
        assert outcomes == [Outcome.ERASED, Outcome.PUBLISHED, Outcome.PUBLISHED]

    asyncio.run(run())


def test_an_erasure_touches_no_one_else() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment)
        others = [rig.bench.put(job(f"user-{number}", 1)) for number in range(4)]
        await asyncio.sleep(0)
        await rig.bench.erase("ann")
        await rig.bench.erase("user-3")
        assert [await one for one in others] == [Outcome.PUBLISHED] * 3 + [Outcome.ERASED]

    asyncio.run(run())
