"""Which job waits, which goes first, which is done without: one per user, the most urgent first, never too many."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.llm_workers.work_rig import QUICK, WorkRig, at_once, in_a_moment, job, made, never

from llm_workers.protocols import LlmError, ProfileRequest
from llm_workers.work import Outcome, WorkConfig

ONE = WorkConfig(concurrency=1)


def test_the_more_urgent_goes_first() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, ONE)
        await rig.all_of(job("first", 1), job("low", 1, 0.1), job("high", 1, 0.9), job("middle", 1, 0.5))
        assert [one.user_id for one in rig.published] == ["first", "high", "middle", "low"]

    asyncio.run(run())


def test_a_newer_horizon_takes_the_place_of_a_waiting_one() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, ONE)
        outcomes = await rig.all_of(job("busy", 1), *(job("ann", ts) for ts in (1, 2, 3)))
        assert outcomes == [Outcome.PUBLISHED, Outcome.COALESCED, Outcome.COALESCED, Outcome.PUBLISHED]
        assert [(one.user_id, one.ts) for one in rig.published] == [("busy", 1), ("ann", 3)]

    asyncio.run(run())


def test_an_older_horizon_is_dropped_whether_the_newer_one_waits_is_in_flight_or_done() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, ONE)
        newer = rig.bench.put(job("ann", 5))
        await asyncio.sleep(0)
        assert await rig.bench.put(job("ann", 4)) is Outcome.COALESCED
        assert not newer.done()
        waiting = rig.bench.put(job("ann", 9))
        assert await rig.bench.put(job("ann", 8)) is Outcome.COALESCED
        assert [await newer, await waiting] == [Outcome.PUBLISHED] * 2
        assert await rig.bench.put(job("ann", 9)) is Outcome.COALESCED
        assert [one.ts for one in rig.published] == [5, 9]
        assert rig.bench.figures().coalesced == 3

    asyncio.run(run())


def test_a_job_delivered_again_is_finished_no_sooner_than_the_first() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment)
        first, again = rig.bench.put(job("ann", 5)), rig.bench.put(job("ann", 5))
        await asyncio.sleep(0.001)
        third = rig.bench.put(job("ann", 5))
        assert not again.done() and not third.done()
        await asyncio.gather(first, again, third)
        assert len(rig.published) == 1

    asyncio.run(run())


def test_a_user_has_one_job_in_flight() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, WorkConfig(concurrency=8))
        futures = []
        for ts in range(20):
            futures.append(rig.bench.put(job("ann", ts)))
            await asyncio.sleep(0.005)
        await asyncio.gather(*futures)
        assert rig.producer.most == 1  # and the producer refuses two of one user
        assert rig.published[-1].ts == 19

    asyncio.run(run())


def test_as_many_are_in_flight_as_allowed_and_no_more() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, WorkConfig(concurrency=3))
        await rig.all_of(*(job(f"user-{number}", 1) for number in range(12)))
        assert rig.producer.most == 3

    asyncio.run(run())


@pytest.mark.slow
def test_a_million_triggers_for_one_user_make_one_job_besides_the_one_in_flight() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, ONE)
        first = rig.bench.put(job("ann", 0))
        await asyncio.sleep(0)
        for ts in range(1, 1_000_001):
            last = rig.bench.put(job("ann", ts))
        assert rig.bench.figures().waiting == 1
        await asyncio.gather(first, last)
        assert [one.ts for one in rig.published] == [0, 1_000_000]
        assert rig.bench.figures().coalesced == 999_999

    asyncio.run(run())


def test_the_least_urgent_is_dropped_when_there_is_no_room() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, WorkConfig(concurrency=1, most_waiting=3))
        rig.bench.put(job("busy", 1))
        urgencies = {"a": 0.2, "b": 0.4, "c": 0.1, "d": 0.3}
        futures = {name: rig.bench.put(job(name, 1, urgency)) for name, urgency in urgencies.items()}
        assert await futures["c"] is Outcome.DROPPED
        assert await rig.bench.put(job("e", 1, 0.0)) is Outcome.DROPPED
        await rig.bench.idle()
        assert [one.user_id for one in rig.published] == ["busy", "b", "d", "a"]
        assert rig.bench.figures().dropped == 2

    asyncio.run(run())


def test_nobody_starves_behind_a_stream_of_more_urgent_users() -> None:
    async def run(ageing_s: float) -> int:
        rig = WorkRig(in_a_moment, WorkConfig(concurrency=1, ageing_s=ageing_s))
        patient, served = rig.bench.put(job("patient", 1, 0.0)), 0
        rig.bench.put(job("busy", 1, 1.0))
        patient = rig.bench.put(job("patient", 2, 0.0))
        while not patient.done() and served < 200:
            rig.bench.put(job(f"urgent-{served}", 1, 1.0))
            served += 1
            await asyncio.sleep(0.005)
        await rig.bench.close()
        return served

    assert asyncio.run(run(ageing_s=0.05)) < 200
    assert asyncio.run(run(ageing_s=1e9)) == 200


def test_the_figures_tell_how_things_stand() -> None:
    async def run() -> None:
        rig = WorkRig(never, ONE)
        rig.bench.put(job("ann", 1))
        rig.bench.put(job("bob", 1))
        await asyncio.sleep(0.05)
        figures = rig.bench.figures()
        assert (figures.waiting, figures.in_flight) == (1, 1)
        assert 0.05 <= figures.oldest_s < 5
        await rig.bench.close()

    asyncio.run(run())


def test_the_latency_is_that_of_the_first_job_that_was_coalesced() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment, ONE)
        rig.bench.put(job("busy", 1))
        rig.bench.put(job("ann", 1))
        await asyncio.sleep(0.015)
        await rig.bench.put(job("ann", 2))
        figures = rig.bench.figures()
        assert figures.published == 2
        assert 0.02 <= figures.latency_p50_s <= figures.latency_p95_s
        assert figures.latency_p95_s >= 0.035

    asyncio.run(run())


def test_ten_thousand_waiting_users_cost_little() -> None:
    async def run() -> float:
        rig = WorkRig(never, WorkConfig(concurrency=1, most_waiting=10_000))
        begun = time.thread_time()
        for number in range(20_000):
            rig.bench.put(job(f"user-{number}", 1, number * 7919 % 1000 / 1000))
        took = time.thread_time() - begun
        assert rig.bench.figures().waiting == 10_000
        await rig.bench.close()
        return took

    assert asyncio.run(run()) < 5


def test_idle_waits_for_the_last() -> None:
    async def run() -> None:
        rig = WorkRig(in_a_moment)
        await rig.bench.idle()
        for number in range(5):
            rig.bench.put(job(f"user-{number}", 1))
        await asyncio.wait_for(rig.bench.idle(), 5)
        assert len(rig.published) == 5

    asyncio.run(run())


def test_closing_gives_unfinished_jobs_back_and_takes_no_more() -> None:
    async def run() -> None:
        rig = WorkRig(never, ONE)
        futures = [rig.bench.put(job(name, 1)) for name in ("ann", "bob")]
        await asyncio.sleep(0)
        await rig.bench.close()
        assert all(future.cancelled() for future in futures)
        with pytest.raises(RuntimeError, match="closed"):
            rig.bench.put(job("eve", 1))

    asyncio.run(run())


@pytest.mark.parametrize("setting", ["concurrency", "most_waiting", "attempts", "deadline_s"])
def test_settings_that_make_no_sense_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} = 0"):
        WorkConfig(**{setting: 0})


puts = st.tuples(st.just("put"), st.integers(0, 3), st.integers(0, 8), st.floats(0, 1))
erases = st.tuples(st.just("erase"), st.integers(0, 3), st.integers(-1, 4), st.just(0.0))
moments = st.tuples(st.just("wait"), st.just(0), st.just(0), st.floats(0, 0.004))


@settings(max_examples=60, deadline=None)
@given(
    actions=st.lists(st.one_of(puts, puts, erases, moments), max_size=25),
    behaviours=st.lists(st.sampled_from(["quick", "slow", "again", "dead", "garbage", "busy"]), min_size=1),
)
def test_whatever_comes_the_promises_hold(actions: list[tuple[str, int, int, float]], behaviours: list[str]) -> None:
    """Every job ends once; per user horizons only grow; never two in flight; nothing published after an erasure."""

    async def answer(request: ProfileRequest) -> object:
        how = behaviours[(len(rig.producer.asked) - 1) % len(behaviours)]
        if how == "slow":
            await asyncio.sleep(0.003)
        if how in ("again", "dead"):
            raise LlmError("timeout", how, retry=how == "again")
        if how == "busy":
            raise LlmError("rate_limited", how, retry=True, after_s=0.002)
        return "no profile" if how == "garbage" else made(request)

    config = WorkConfig(concurrency=2, most_waiting=3, attempts=2, first_wait_s=0.001)
    rig: WorkRig

    async def run() -> None:
        nonlocal rig
        rig = WorkRig(answer, config)
        futures, erased = [], list[tuple[str, int, int]]()
        for what, user, ts, more in actions:
            if what == "put":
                futures.append(rig.bench.put(job(f"user-{user}", ts, more)))
                assert rig.bench.figures().waiting <= config.most_waiting + config.concurrency
            elif what == "erase":
                await rig.bench.erase(f"user-{user}", ts)
                erased.append((f"user-{user}", ts, len(rig.published)))
            else:
                await asyncio.sleep(more)
        await asyncio.wait_for(rig.bench.idle(), 10)
        outcomes = Counter(await asyncio.gather(*futures))
        figures = rig.bench.figures()
        assert sum(getattr(figures, outcome.value) for outcome in Outcome) == len(futures)
        assert figures.published == len(rig.published) and figures.dead == len(rig.given_up)
        assert outcomes[Outcome.DROPPED] == figures.dropped
        for user, ts, published in erased:
            assert not [one for one in rig.published[published:] if one.user_id == user and one.ts <= ts]
        if not erased:
            for number in range(4):
                horizons = [one.ts for one in rig.published if one.user_id == f"user-{number}"]
                assert horizons == sorted(set(horizons))

    asyncio.run(run())


def test_a_future_may_be_abandoned() -> None:
    async def run() -> None:
        rig = WorkRig(at_once, QUICK)
        rig.bench.put(job("ann", 1)).cancel()
        await rig.bench.idle()
        assert len(rig.published) == 1

    asyncio.run(run())
