"""Who is asked for, when, with what past: after new events, drift or time, one job at a time, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import DAY_MS, SMALL, START_MS, Event, event, random_log
from unit.llm_workers.refresh_rig import WIDTH, RefreshRig

from dyngraph.events import EventType
from dyngraph.profiles import ProfileStore
from dyngraph.refreshing import Wanted
from dyngraph.state import digest
from llm_workers.refresh import RefreshConfig, RefreshPolicy
from models.sources.history import HistorySource
from models.system import build_engine

RICH = RefreshConfig(jobs_per_1000=1_000, drift=2.0)
"""A job per event, and no drift by texts."""


def but(config: RefreshConfig, **changes: float) -> RefreshConfig:
    """The same with other settings."""
    return msgspec.structs.replace(config, **changes)


def visits(user: str, items: Sequence[str], first: int = 0) -> list[Event]:
    return [event(first + place, user, item) for place, item in enumerate(items)]


def one_by_one(rig: RefreshRig, log: Sequence[Event], *, answered: bool = True) -> list[int]:
    """Numbers of events (from 1) after which the only user of ``log`` is asked for."""
    asked = []
    for number, one in enumerate(log, start=1):
        for wanted in rig.wanted([one]):
            asked.append(number)
            if answered:
                rig.answer(wanted)
    return asked


def test_a_first_profile_is_asked_for_after_three_events() -> None:
    rig = RefreshRig(RICH)
    assert rig.wanted(visits("ann", "ab")) == []
    (wanted,) = rig.wanted(visits("ann", "c", first=2))
    assert (wanted.user_id, wanted.events, wanted.offset) == ("ann", 3, 2)
    assert wanted.ts == START_MS + 2 * 60_000
    assert [item for item, _, _ in wanted.past] == ["a", "b", "c"]
    assert wanted.reason == "first one, after 3 events"


def test_later_ones_after_a_quarter_more_events_so_that_heavy_users_cost_no_more() -> None:
    asked = one_by_one(RefreshRig(RICH), visits("ann", [f"item-{n % 40}" for n in range(1_000)]))
    assert asked[:6] == [3, 6, 9, 12, 15, 19]
    assert len(asked) < 30
    assert all(later >= 1.25 * sooner for sooner, later in pairwise(asked[3:]))


def test_a_user_has_one_job_until_the_profile_comes() -> None:
    rig = RefreshRig(RICH)
    log = visits("ann", [f"item-{n % 40}" for n in range(60)])
    (first,) = [wanted for one in log[:30] for wanted in rig.wanted([one])]
    assert first.events == 3
    rig.answer(first)
    (second,) = rig.wanted(log[30:31])
    assert (second.events, second.reason) == (31, "28 new events")


def test_a_job_without_an_answer_is_given_up_after_so_many_events_of_the_shard() -> None:
    rig = RefreshRig(but(RICH, patience=20))
    rig.wanted(visits("ann", "abc"))
    rig.wanted([event(3 + n, f"user-{n}", "a") for n in range(18)])
    assert rig.wanted(visits("ann", "d", first=21)) == []
    rig.wanted([event(30, "bob", "a")])
    (again,) = rig.wanted(visits("ann", "e", first=31))
    assert again.events == 5
    assert rig.policy.figures()["given_up"] == 1


def test_a_million_events_of_one_user_in_a_minute_make_one_job() -> None:
    rig = RefreshRig(RICH)
    step = rig.taken([event(n, "ann", f"item-{n % 90}", ts=START_MS + 20 * n) for n in range(2_500)])
    asked = [one for _ in range(400) for one in rig.asked(rig.policy, step)]
    assert len(asked) == 1
    assert len(asked[0].past) == 50


def test_nothing_is_asked_for_at_the_very_moment_of_the_horizon() -> None:
    """Such a profile would be refused as no newer: a basket of thirty items is one moment."""
    rig = RefreshRig(RICH)
    (wanted,) = rig.wanted([event(n, "ann", f"item-{n}", ts=START_MS) for n in range(3)])
    rig.answer(wanted)
    assert rig.wanted([event(3 + n, "ann", f"item-{n}", ts=START_MS) for n in range(30)]) == []
    assert len(rig.wanted([event(40, "ann", "a", ts=START_MS + 1)])) == 1


def test_an_old_profile_is_renewed_at_the_next_event() -> None:
    rig = RefreshRig(RICH)
    (wanted,) = rig.wanted(visits("ann", "abc"))
    rig.answer(wanted)
    assert rig.wanted([event(5, "ann", "a", ts=START_MS + 29 * DAY_MS)]) == []
    (again,) = rig.wanted([event(6, "ann", "a", ts=START_MS + 31 * DAY_MS)])
    assert again.reason == "30 days old"


def test_a_user_who_moved_on_to_other_items_is_asked_for_sooner() -> None:
    def renewed(later: str) -> list[Wanted]:
        rig = RefreshRig(but(RICH, drift=0.5))
        rig.graph.texts.put({f"{kind}{n}": np.eye(WIDTH)[place] for place, kind in enumerate("xy") for n in range(40)})
        for wanted in rig.wanted(visits("ann", [f"x{n}" for n in range(40)])):
            rig.answer(wanted)
        return [one for n in range(9) for one in rig.wanted(visits("ann", [f"{later}{n}"], first=50 + n))]

    assert renewed("x") == []
    (wanted,) = renewed("y")
    assert (wanted.events, wanted.reason) == (45, "moved on to other items")


def test_without_text_vectors_nobody_moves_on() -> None:
    rig = RefreshRig(but(RICH, drift=0.01))
    for wanted in rig.wanted(visits("ann", [f"x{n}" for n in range(40)])):
        rig.answer(wanted)
    assert rig.wanted(visits("ann", [f"y{n}" for n in range(9)], first=50)) == []


def test_the_past_is_the_newest_thirty_items_and_the_heaviest_twenty_of_the_others() -> None:
    rig = RefreshRig(but(RICH, min_events=300))
    loved = [f"loved-{n}" for n in range(20)]
    log = visits("ann", [*loved * 5, *(f"once-{n}" for n in range(170)), *(f"new-{n}" for n in range(30))])
    (wanted,) = rig.wanted(log)
    assert [item for item, _, _ in wanted.past] == [*loved, *(f"new-{n}" for n in range(30))]
    assert [ts for _, ts, _ in wanted.past] == sorted(ts for _, ts, _ in wanted.past)
    weights = {item: weight for item, _, weight in wanted.past}
    assert weights["loved-3"] == pytest.approx(5, rel=0.01) and weights["new-29"] == 1.0


def test_refusals_are_no_past_and_who_only_refused_is_not_asked_for() -> None:
    rig = RefreshRig(RICH)
    refused = [event(n, "ann", f"item-{n}", EventType.DISLIKE) for n in range(9)]
    assert rig.wanted(refused) == []
    (wanted,) = rig.wanted([*visits("bob", "abc", first=10), event(20, "bob", "z", EventType.DISLIKE)])
    assert [item for item, _, _ in wanted.past] == ["a", "b", "c"]


def test_there_are_no_more_jobs_than_the_budget_allows_and_those_kept_waiting_come_later() -> None:
    rig = RefreshRig(but(RICH, jobs_per_1000=100, burst=5))
    log = [event(3 * user + n, f"user-{user}", f"item-{n}") for user in range(60) for n in range(3)]
    asked = [len(rig.wanted(log[start : start + 30])) for start in range(0, 180, 30)]
    assert asked == [3] * 6
    assert rig.policy.figures()["waiting"] == 60 - 18
    quiet = [event(1_000 + n, "crowd", "item-0", ts=START_MS + 200 * 60_000) for n in range(1_000)]
    assert len(rig.wanted(quiet)) == 5  # no more than the burst, whatever was saved


def test_whose_need_is_greater_goes_first_and_the_rest_is_dropped_where_there_is_no_room() -> None:
    rig = RefreshRig(but(RICH, jobs_per_1000=0, most_waiting=10))
    for user in range(30):
        log = visits(f"user-{user}", [f"item-{n}" for n in range(3 + user)], first=100 * user)
        assert rig.wanted(log) == []
    assert rig.policy.figures() == {"asked": 0, "given_up": 0, "waiting": 10, "dropped": 20, "segment_drifts": 0}
    richer = rig.another(but(RICH, most_waiting=10))
    richer.load_state(rig.policy.state())
    asked = rig.asked(richer, rig.taken([event(9_000 + n, "crowd", "a") for n in range(100)]))
    assert [one.user_id for one in asked] == ["crowd", *(f"user-{user}" for user in range(29, 20, -1))]
    assert [one.priority for one in asked] == sorted((one.priority for one in asked), reverse=True)
    assert all(0 < one.priority < 1 for one in asked)


def test_a_profile_that_came_while_its_user_waited_makes_the_job_needless() -> None:
    rig = RefreshRig(but(RICH, jobs_per_1000=0))
    rig.wanted(visits("ann", "abc"))
    rig.answer(Wanted("ann", START_MS + 2 * 60_000, 2, 3, (), 0.5, ""))
    richer = rig.another(RICH)
    richer.load_state(rig.policy.state())
    assert rig.asked(richer, rig.taken([event(9, "bob", "a")])) == []
    assert richer.figures()["waiting"] == 0


def test_a_forgotten_user_begins_anew_and_is_on_no_list() -> None:
    rig = RefreshRig(but(RICH, jobs_per_1000=0))
    rig.wanted(visits("ann", "abc"))
    row = int(rig.graph.user_ids.find(["ann"])[0])
    rig.policy.forget_user(row)
    rig.history.forget_user(row)
    rig.graph.forget_user(row)
    assert rig.policy.figures()["waiting"] == 0
    assert not any(bool((value[row] > 0).any()) for name, value in rig.policy.state().items() if "people" in name)
    rig.policy.forget_user(10_000)  # a row that never came


def test_a_step_without_events_asks_for_nothing() -> None:
    rig = RefreshRig(RICH)
    rig.wanted(visits("ann", "ab"))
    step = rig.taken(visits("ann", "c", first=2))
    assert rig.asked(rig.policy, type(step)(0, step.horizon)) == []


@pytest.mark.parametrize(
    ("setting", "value"), [("min_events", 0), ("growth", -1.0), ("drift_delta", 1.0), ("newest", 60), ("patience", 0)]
)
def test_settings_that_make_no_sense_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting} = {value}"):
        RefreshConfig(**{setting: value})  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    stop=st.integers(1, 19),
    delays=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    hit=st.lists(st.booleans(), min_size=1, max_size=7),
)
def test_restored_in_the_middle_it_asks_for_the_same_as_one_never_stopped(
    seed: int, stop: int, delays: list[int], hit: list[bool]
) -> None:
    config = RefreshConfig(
        jobs_per_1000=60, burst=3, most_waiting=5, patience=60, drift=0.3, segments=3, growth=0.1, drift_delta=0.3
    )
    rig = RefreshRig(config)
    rng = np.random.default_rng(seed)
    rig.graph.texts.put({f"item-{n}": rng.normal(size=WIDTH) for n in range(12)})
    log = random_log(400, users=12, seed=seed, kinds=(EventType.PURCHASE, EventType.DISLIKE, EventType.VIEW))
    policy, due = rig.policy, list[tuple[int, Wanted]]()
    restored: RefreshPolicy | None = None
    for number in range(20):
        for when, wanted in due:
            if when == number:
                rig.answer(wanted, f"segment {wanted.events % 5}")
        step = rig.taken(log[20 * number : 20 * (number + 1)])
        step.ranks["evergraph"][:] = np.where(np.resize(hit, step.events), 3, 40) + 30 * (number % 7 > 3)
        asked = rig.asked(policy, step)
        due += [(number + 1 + delays[len(due) % len(delays)], one) for one in asked]
        due = list({(when, one.user_id): (when, one) for when, one in due}.values())
        if restored is not None:
            assert rig.asked(restored, step) == asked
            assert digest(restored.state()) == digest(policy.state())
        if number == stop:
            restored = rig.another(config)
            restored.load_state({name: value.clone() for name, value in policy.state().items()})


def test_steps_of_another_size_spend_the_same_budget() -> None:
    def spent(size: int) -> int:
        rig = RefreshRig(but(RICH, jobs_per_1000=50))
        log = random_log(800, users=300, seed=1)
        return sum(len(rig.wanted(log[start : start + size])) for start in range(0, 800, size))

    assert spent(1) == spent(8) == spent(100) == 40


def test_over_a_whole_engine_it_asks_for_those_who_acted() -> None:
    engine = build_engine(SMALL)
    engine.graph.profiles = ProfileStore(engine.graph.user_ids, WIDTH)
    (history,) = [source for source in engine.sources if isinstance(source, HistorySource)]
    policy = RefreshPolicy(RICH, history)
    log, asked = random_log(120, users=5), list[Wanted]()
    for start in range(0, 120, 8):
        asked += policy.after_step(engine, engine.step(log[start : start + 8]), start + 7)
    assert {one.user_id for one in asked} == {f"user-{n}" for n in range(5)}
    assert all(one.offset % 8 == 7 and len(one.past) for one in asked)
    own = {user: {one.item_id for _, one in log if one.user_id == user} for user in {one.user_id for _, one in log}}
    assert all({item for item, _, _ in one.past} <= own[one.user_id] for one in asked)
    assert all(ts <= one.ts for one in asked for _, ts, _ in one.past)
