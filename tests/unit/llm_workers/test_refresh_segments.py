"""A segment whose lists got worse is found by its hit rate, its users are asked for sooner; no restart changes that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift import ADWIN
from unit.dyngraph.small_logs import Event, event
from unit.llm_workers.refresh_rig import RefreshRig

from dyngraph.state import digest
from llm_workers.refresh import RefreshConfig
from llm_workers.refresh.segments import BLOCK, EPOCH, NONE, HitRate, Segments

DELTA = 0.002


def hits(rate: float, events: int, seed: int = 0) -> list[bool]:
    drawn: list[bool] = (np.random.default_rng(seed).random(events) < rate).tolist()
    return drawn


def falls(rate: HitRate, bits: list[bool]) -> list[int]:
    return [place for place, hit in enumerate(bits) if rate.take(hit)]


@pytest.mark.parametrize("seed", range(3))
def test_a_drop_is_found_soon_and_steadiness_is_not_taken_for_one(seed: int) -> None:
    rate = HitRate(DELTA)
    assert falls(rate, hits(0.6, 20_000, seed)) == []
    (found,) = falls(rate, hits(0.3, 2_000, seed))
    assert found < 1_000


def test_getting_better_is_no_drop() -> None:
    rate = HitRate(DELTA)
    assert falls(rate, hits(0.2, 3_000) + hits(0.7, 3_000)) == []
    assert len(falls(rate, hits(0.2, 3_000))) == 1


def test_within_an_epoch_it_is_rivers_detector() -> None:
    bits = hits(0.6, 4_000) + hits(0.2, 2_000)
    reference, found = ADWIN(delta=DELTA, clock=4), None
    for place in range(0, len(bits), BLOCK):
        reference.update(sum(bits[place : place + BLOCK]) / BLOCK)
        if reference.drift_detected:
            found = place + BLOCK - 1
            break
    assert falls(HitRate(DELTA), bits) == [found]


@settings(max_examples=30, deadline=None)
@given(stops=st.lists(st.integers(0, 40_000), max_size=4), rates=st.lists(st.sampled_from([0.1, 0.4, 0.8]), max_size=4))
def test_however_often_it_is_restored_it_finds_the_same(stops: list[int], rates: list[float]) -> None:
    bits = [hit for seed, rate in enumerate(rates) for hit in hits(rate, 10_000, seed)]
    whole, broken, found = HitRate(DELTA), HitRate(DELTA), []
    for place, hit in enumerate(bits):
        if place in stops:
            broken = HitRate(DELTA, broken.inputs, broken.begun)
        if broken.take(hit):
            found.append(place)
    assert found == falls(whole, bits)
    assert len(whole.inputs) < EPOCH


def test_after_a_full_epoch_the_later_half_goes_on() -> None:
    rate = HitRate(DELTA)
    assert falls(rate, hits(0.6, BLOCK * EPOCH)) == []
    assert len(rate.inputs) == EPOCH // 2
    assert len(falls(rate, hits(0.3, 2_000))) == 1


def test_segments_are_known_by_name_however_written() -> None:
    segments = Segments(4, DELTA)
    buyers = segments.move(NONE, "Late-night buyers")
    assert segments.move(NONE, " late-night  Buyers") == buyers != NONE
    assert segments.move(NONE, "") == NONE


def test_there_are_no_more_than_allowed_and_an_empty_one_makes_room() -> None:
    segments = Segments(2, DELTA)
    first, second = segments.move(NONE, "first"), segments.move(NONE, "second")
    assert segments.move(NONE, "third") == NONE
    segments.take(np.full(BLOCK, first, np.int32), np.ones(BLOCK, np.bool_), 5)
    segments.fallen[first] = 5
    assert segments.move(first, "second") == second
    assert segments.move(NONE, "third") == first
    assert segments.fallen[first] < 0
    assert segments.move(NONE, "first") == NONE


def test_each_segment_has_its_own_rate() -> None:
    segments = Segments(4, DELTA)
    worse, steady = segments.move(NONE, "worse"), segments.move(NONE, "steady")
    for place, (a, b) in enumerate(zip(hits(0.7, 3_000) + hits(0.2, 1_000), hits(0.5, 4_000, 1), strict=True)):
        segments.take(np.array([worse, steady], np.int32), np.array([a, b]), place)
    assert segments.fallen[worse] >= 3_000 and segments.fallen[steady] < 0
    assert segments.drifts == 1


def test_the_state_restores_all_of_it() -> None:
    segments = Segments(3, DELTA)
    numbers = np.array([segments.move(NONE, name) for name in ("a", "b", "ü")], np.int32)
    segments.take(np.resize(numbers, 1_003), np.array(hits(0.5, 1_003)), 7)
    restored = Segments(3, DELTA)
    restored.load_state({name: value.clone() for name, value in segments.state().items()})
    assert restored.move(NONE, "ü") == segments.move(NONE, "ü") == numbers[2]
    for ts in range(120):
        for one in (segments, restored):
            one.take(np.resize(numbers, 30), np.zeros(30, np.bool_), ts)
        assert digest(restored.state()) == digest(segments.state())
    assert (segments.fallen[numbers] >= 0).all()


def test_users_of_a_segment_that_got_worse_are_asked_for_after_half_the_events_until_renewed() -> None:
    rig = RefreshRig(RefreshConfig(jobs_per_1000=1_000))

    def visits(user: str, first: int, count: int) -> list[Event]:
        return [event(first + n, user, f"item-{n % 30}") for n in range(count)]

    for user, segment in (("ann", "fallen"), ("bob", "steady"), ("cat", "fallen"), ("dan", "steady")):
        (wanted,) = rig.wanted(visits(user, 100 * ord(user[0]), 100))
        rig.answer(wanted, segment)
    first = 20_000
    for rank in [1.0] * 40 + [90.0] * 20:
        # Cat and dan keep their segments' rates; they are never answered, and so never renewed.
        step = rig.taken([*visits("cat", first, 32), *visits("dan", first + 32, 32)])
        cats = np.array([user == "cat" for user in step.event_users])
        step.ranks["evergraph"][:] = np.where(cats, rank, 1.0)
        rig.asked(rig.policy, step)
        first += 64
    assert rig.policy.figures()["segment_drifts"] == 1
    assert rig.wanted(visits("bob", first, 13)) == []
    (wanted,) = rig.wanted(visits("ann", first + 20, 13))
    assert wanted.reason == "13 new events; its segment is hit less often"
    rig.answer(wanted, "fallen")
    assert rig.wanted(visits("ann", first + 40, 14)) == []
