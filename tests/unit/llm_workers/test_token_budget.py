"""Never more than the limit in any window, whatever arrives when and however long it takes."""

from __future__ import annotations

import asyncio
import heapq
import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_workers.client.budget import TokenBudget, Window
from llm_workers.protocols import LlmError

LIMIT, SPAN_S = 1_000, 60.0


@dataclass(frozen=True)
class Call:
    """One request: when it arrives after the one before, what it reserves, what it costs, when it is booked."""

    gap: float
    estimate: int
    takes: float
    share: float
    booked: float
    known: bool


calls = st.lists(
    st.builds(
        Call,
        gap=st.floats(0, 40),
        estimate=st.integers(1, LIMIT // 2),
        takes=st.floats(0, 90),
        share=st.floats(0, 1),
        booked=st.floats(0, 1),
        known=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def spent(arrivals: list[Call], overrun: float) -> list[tuple[float, int]]:
    """Moments and tokens as the server books them; requests go first come, first served, on a made-up clock."""
    window = Window(LIMIT, SPAN_S)
    now = arrival = 0.0
    ending: list[tuple[float, int, int, int, int | None]] = []
    booked: list[tuple[float, int]] = []

    def end_until(moment: float) -> None:
        while ending and ending[0][0] <= moment:
            at, _, reserved, estimate, used = heapq.heappop(ending)
            window.settle(reserved, estimate, used, at)

    for number, call in enumerate(arrivals):
        arrival += call.gap
        now = max(now, arrival)
        end_until(now)
        while wait := window.wait_s(call.estimate, now):
            now = min(now + wait, ending[0][0] if ending else math.inf)
            assert now < math.inf, "it waits for something that never comes"
            end_until(now)
        reserved = window.reserve(call.estimate)
        used = int(call.estimate * call.share * overrun)
        booked.append((now + call.takes * call.booked, used))
        heapq.heappush(ending, (now + call.takes, number, reserved, call.estimate, used if call.known else None))
    return booked


def worst(booked: list[tuple[float, int]]) -> int:
    # A rounding error less than the span: what is counted until exactly its end may be followed at once.
    span_s = SPAN_S - 1e-6
    return max(sum(tokens for at, tokens in booked if start <= at < start + span_s) for start, _ in booked)


@given(calls)
@settings(max_examples=300, deadline=None)
def test_no_window_holds_more_than_the_limit(arrivals: list[Call]) -> None:
    assert worst(spent(arrivals, 1.0)) <= LIMIT


@given(calls)
@settings(max_examples=200, deadline=None)
def test_prices_a_twentieth_above_the_estimates_stay_within_a_twentieth_above_the_limit(arrivals: list[Call]) -> None:
    assert worst(spent(arrivals, 1.05)) <= 1.05 * LIMIT


@given(calls, st.floats(1.05, 2.0))
@settings(max_examples=200, deadline=None)
def test_a_server_that_counts_otherwise_is_learned_from_its_first_answer(arrivals: list[Call], factor: float) -> None:
    same = [Call(call.gap, 100 + call.estimate, call.takes, 1.0, call.booked, True) for call in arrivals]
    assert worst(spent(same, factor)) <= max(1.05 * LIMIT, factor * max(call.estimate for call in same))


def test_estimates_that_are_too_high_are_given_back() -> None:
    window = Window(LIMIT, SPAN_S)
    for number in range(9):
        assert window.wait_s(500, number) == 0
        window.settle(window.reserve(500), 500, 50, number)
    assert window.counted(8) == 450
    assert window.counted(60) == 400, "the first is a minute old"


def test_requests_take_turns_and_wake_up_when_something_is_settled() -> None:
    async def work() -> list[int]:
        budget = TokenBudget(100, span_s=0.3)
        order: list[int] = []

        async def request(number: int, estimate: int) -> None:
            reservation = await budget.reserve(estimate)
            order.append(number)
            await asyncio.sleep(0.01)
            reservation.settle(estimate // 10)
            reservation.settle(99)

        await asyncio.wait_for(asyncio.gather(request(0, 90), request(1, 100), request(2, 10), request(3, 1)), 5)
        assert budget.counted() <= 20
        return order

    assert asyncio.run(work()) == [0, 1, 2, 3], "a small one does not overtake a large one for ever"


def test_a_cancelled_wait_blocks_nobody() -> None:
    async def work() -> None:
        budget = TokenBudget(100)
        first = await budget.reserve(80)
        waiting = asyncio.create_task(budget.reserve(50))
        await asyncio.sleep(0.01)
        waiting.cancel()
        first.settle(10)
        await asyncio.wait_for(budget.reserve(20), 1)

    asyncio.run(work())


def test_no_limit_and_an_impossible_one() -> None:
    async def work() -> None:
        free = TokenBudget(0)
        (await free.reserve(10**9)).settle(10**9)
        with pytest.raises(LlmError, match="tokens_per_minute = 10"):
            await TokenBudget(10).reserve(11)

    asyncio.run(work())
