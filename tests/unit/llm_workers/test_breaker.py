"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

import pytest

from llm_workers.client.breaker import Breaker, BreakerOpen
from llm_workers.protocols import LlmError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def request(breaker: Breaker, code: str = "") -> None:
    try:
        with breaker.request():
            if code:
                raise LlmError(code, "no", retry=True)
    except BreakerOpen:
        raise
    except LlmError:
        pass


def test_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker(3, 10, clock=Clock())
    for code in ("timeout", "unavailable", "", "timeout", "refused", "rate_limited", "unavailable"):
        request(breaker, code)
    assert breaker.state == "closed"
    request(breaker, "timeout")
    assert breaker.state == "open"
    with pytest.raises(BreakerOpen) as refused:
        request(breaker)
    assert (refused.value.code, refused.value.retry, refused.value.after_s) == ("unavailable", True, 10)


def test_one_trial_at_a_time_and_longer_pauses_after_failed_ones() -> None:
    clock = Clock()
    breaker = Breaker(1, 10, clock=clock)
    request(breaker, "timeout")
    clock.now = 10
    assert breaker.state == "half-open"
    with breaker.request(), pytest.raises(BreakerOpen):
        request(breaker)
    assert breaker.state == "closed"
    request(breaker, "timeout")
    for pause in (10, 20, 40, 80, 160, 160):
        clock.now += pause - 0.1
        assert breaker.state == "open", pause
        clock.now += 0.2
        request(breaker, "timeout")


def test_a_trial_that_is_cancelled_leaves_room_for_the_next() -> None:
    clock = Clock()
    breaker = Breaker(1, 10, clock=clock)
    request(breaker, "timeout")
    clock.now = 10
    with pytest.raises(KeyboardInterrupt), breaker.request():
        raise KeyboardInterrupt
    request(breaker)
    assert breaker.state == "closed"


def test_broken_is_for_good() -> None:
    clock = Clock()
    breaker = Breaker(1, 10, clock=clock)
    breaker.break_for_good(LlmError("unauthorised", "the key is wrong", retry=False))
    clock.now = 1e9
    with pytest.raises(BreakerOpen, match="the key is wrong") as refused:
        breaker.check()
    assert (breaker.state, refused.value.code, refused.value.retry) == ("broken", "unauthorised", False)
