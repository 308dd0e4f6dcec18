"""Popularity agrees with counting every event by hand."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import DAY_MS, EVERY_KIND, cut, event, random_log
from unit.models.source_rig import SourceRig

from dyngraph.events import POSITIVE, EventType
from models.sources.popularity import DecayedPopularity, Popularity, PopularitySource

SHORT_MS, LONG_MS = DAY_MS, 7 * DAY_MS


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from((DAY_MS // 5, 40 * DAY_MS)))
def test_sums_are_those_of_plain_python(seed: int, step_ms: int) -> None:
    log = random_log(60, items=6, seed=seed, kinds=EVERY_KIND, step_ms=step_ms)
    source = PopularitySource(SHORT_MS, LONG_MS)
    rig = SourceRig(source)
    for step in cut(log, 1):
        rig.step(step)
    count, sums = defaultdict[str, float](float), defaultdict[tuple[str, int], float](float)
    now = log[0][1].ts
    for _, one in log:
        for key in sums:
            sums[key] *= 2.0 ** ((now - one.ts) / key[1])
        now, sign = one.ts, 1.0 if one.event_type in POSITIVE else -1.0
        count[one.item_id] = max(count[one.item_id] + sign, 0.0)
        for half_life in (SHORT_MS, LONG_MS):
            sums[one.item_id, half_life] = max(sums[one.item_id, half_life] + sign, 0.0)
    names = [rig.graph.item_ids[row] for row in range(1, len(rig.graph.item_ids))]
    assert Popularity(source).scores()[1:].tolist() == [count[name] for name in names]
    decayed = DecayedPopularity(source).scores()[1:].tolist()
    for half_life, feature in ((SHORT_MS, "trending"), (LONG_MS, "popular")):
        top = max(sums[name, half_life] for name in names)
        for name, features in rig.features("anyone").items():
            share = sums[name, half_life] / top if top else 0.0
            assert features[feature] == pytest.approx(min(max(1 + math.log(0.003 + share) / 5.8, 0), 1), abs=1e-5)
    top = max(sums[name, LONG_MS] for name in names)
    if top:
        expected = [sums[name, LONG_MS] / top for name in names]
        assert [value / max(decayed) for value in decayed] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_without_refusals_the_cut_of_the_log_does_not_matter() -> None:
    log = random_log(60, items=6, seed=1, step_ms=DAY_MS)
    rigs = [SourceRig(PopularitySource()) for _ in range(3)]
    for rig, size in zip(rigs, (1, 7, 60), strict=True):
        for step in cut(log, size):
            rig.step(step)
    for name, features in rigs[0].features("anyone").items():
        for rig in rigs[1:]:
            assert rig.features("anyone")[name] == pytest.approx(features, abs=1e-6)


def test_a_removal_takes_one_back_and_never_goes_below_zero() -> None:
    source = PopularitySource()
    rig = SourceRig(source)
    rig.step([event(0, "ann", "tea"), event(1, "bob", "tea"), event(2, "ann", "milk")])
    for seq in range(3, 6):
        rig.step([event(seq, "ann", "milk", EventType.REMOVE)])
    rig.step([event(6, "ann", "tea", EventType.REMOVE)])
    assert source.counts()[1:].tolist() == [1.0, 0.0]
    rig.step([event(7, "ann", "milk")])
    assert source.counts()[1:].tolist() == [1.0, 1.0]


def test_an_empty_graph_has_nothing_popular() -> None:
    assert SourceRig(PopularitySource()).proposed("anyone") == set()


def test_the_most_popular_items_are_proposed_to_everyone() -> None:
    rig = SourceRig(PopularitySource(propose=1))
    rig.step([event(0, "ann", "tea"), event(1, "bob", "tea"), event(2, "ann", "milk")])
    assert rig.proposed("ann") == rig.proposed("nobody") == {"tea"}


def test_how_lately_an_item_was_taken_falls_with_the_logarithm_of_the_time() -> None:
    rig = SourceRig(PopularitySource())
    rig.step([event(0, "ann", "tea")])
    month = math.log1p(30 * 86_400)
    for seconds in (0, 59, 86_400):
        lately = rig.features("bob", later_ms=1000 * seconds)["tea"]["just_taken"]
        assert lately == pytest.approx(1 - math.log1p(seconds) / month, abs=1e-4)
    assert rig.features("bob", later_ms=90 * DAY_MS)["tea"]["just_taken"] == 0


def test_the_whole_catalogue_is_proposed_where_no_limit_is_set() -> None:
    rig = SourceRig(PopularitySource(propose=None))
    assert rig.proposed("ann") == set()
    rig.step([event(seq, "ann", f"item-{seq}") for seq in range(100)])
    assert len(rig.proposed("nobody")) == 100
