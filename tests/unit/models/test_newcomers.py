"""Popularity among newcomers agrees with counting first meetings by hand."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import DAY_MS, EVERY_KIND, cut, event, random_log
from unit.models.source_rig import SourceRig

from dyngraph.events import POSITIVE, EventType
from models.sources.history import HistorySource
from models.sources.newcomers import HALF_LIVES_MS, NewcomerSource


def rig(propose: int = 20) -> SourceRig:
    history = HistorySource()
    return SourceRig(NewcomerSource(history, propose), after=[history])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((DAY_MS // 30, 3 * DAY_MS)), st.sampled_from((1, 6)))
def test_sums_are_those_of_plain_python(seed: int, step_ms: int, size: int) -> None:
    log = random_log(60, users=4, items=7, seed=seed, kinds=EVERY_KIND, step_ms=step_ms)
    taken, had = rig(), defaultdict[tuple[str, str], int](int)
    begun: list[tuple[str, int]] = []
    for step in cut(log, size):
        taken.step(step)
    for _, one in log:
        positive, pair = one.event_type in POSITIVE, (one.user_id, one.item_id)
        if positive and not had[pair]:
            begun.append((one.item_id, one.ts))
        had[pair] = max(had[pair] + (1 if positive else -1), 0)
    now = taken.graph.horizon.ts
    found = taken.features("user-0")
    for name, half_life in HALF_LIVES_MS.items():
        sums = {item: sum(2.0 ** ((ts - now) / half_life) for other, ts in begun if other == item) for item in found}
        top = max(sums.values()) or 1.0
        for item, features in found.items():
            share = 0.0 if had["user-0", item] else sums[item] / top
            assert features[name] == pytest.approx(min(max(1 + math.log(0.003 + share) / 5.8, 0), 1), abs=1e-5)


def test_a_pair_repeated_within_a_batch_is_one_beginning() -> None:
    once, often = rig(), rig()
    once.step([event(0, "ann", "tea"), event(1, "bob", "milk")])
    often.step([event(0, "ann", "tea"), event(1, "bob", "milk"), event(2, "ann", "tea"), event(3, "ann", "tea")])
    assert often.features("eve")["tea"]["new_week"] == pytest.approx(
        often.features("eve")["milk"]["new_week"], abs=1e-4
    )
    assert once.features("eve")["tea"]["new_week"] == pytest.approx(1.0, abs=1e-4)


def test_what_the_user_had_is_nothing_to_begin_with() -> None:
    taken = rig()
    taken.step([event(0, "ann", "tea"), event(1, "bob", "milk")])
    assert set(taken.features("ann")["tea"].values()) == {0.0}
    assert min(taken.features("ann")["milk"].values()) > 0


def test_a_refusal_begins_nothing_and_does_not_spoil_a_later_beginning() -> None:
    taken = rig()
    taken.step([event(0, "ann", "tea", EventType.DISLIKE)])
    assert set(taken.features("eve")["tea"].values()) == {0.0}
    taken.step([event(1, "ann", "tea")])
    assert min(taken.features("eve")["tea"].values()) > 0.9


def test_an_empty_graph_proposes_nothing_and_a_full_one_what_most_began_with() -> None:
    taken = rig(propose=1)
    assert taken.proposed("ann") == set()
    taken.step([event(0, "ann", "tea"), event(1, "bob", "tea"), event(2, "ann", "milk")])
    assert taken.proposed("nobody") == {"tea"}


def test_the_reason_says_how_lately_others_began() -> None:
    taken = rig()
    taken.step([event(0, "ann", "tea")])
    assert taken.explain("eve", "tea", "new_day") == "many began with it in the last day"
