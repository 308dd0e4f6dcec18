"""What a user had and refused agrees with one dictionary per user."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import DAY_MS, EVERY_KIND, cut, event, random_log
from unit.models.source_rig import SourceRig

from dyngraph.events import POSITIVE, EventType, Interaction
from models.sources.history import HistorySource

HALF_LIFE_MS = 3 * DAY_MS
AGES = {"minute": DAY_MS / 1440, "hour": DAY_MS / 24, "day": DAY_MS, "week": 7 * DAY_MS}
Log = Sequence[tuple[int, Interaction]]


class Shelf:
    """The reference: what one user had of one item, decayed to ``at``."""

    def __init__(self) -> None:
        self.at, self.events, self.had, self.refused, self.last, self.last_ts = 0, 0, 0.0, 0.0, -1, 0

    def wait(self, until: int) -> None:
        fade = 2.0 ** ((self.at - until) / HALF_LIFE_MS)
        self.had, self.refused, self.at = self.had * fade, self.refused * fade, until

    def take(self, seq: int, one: Interaction) -> None:
        self.wait(one.ts)
        if one.event_type in POSITIVE:
            self.events, self.had, self.refused, self.last = self.events + 1, self.had + 1, 0.0, seq
            self.last_ts = one.ts
        else:
            self.events, self.had = max(self.events - 1, 0), max(self.had - 1, 0.0)
            self.refused += 1


def steps_without_repeated_pairs(log: Log, size: int) -> Iterator[Log]:
    step: list[tuple[int, Interaction]] = []
    for entry in log:
        pair = (entry[1].user_id, entry[1].item_id)
        if len(step) == size or pair in {(one.user_id, one.item_id) for _, one in step}:
            yield step
            step = []
        step.append(entry)
    yield step


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from((1, 6)), st.integers(0, 400))
def test_features_are_those_of_a_dictionary_per_user(seed: int, size: int, later_days: int) -> None:
    log = random_log(50, users=3, items=7, seed=seed, kinds=EVERY_KIND, step_ms=DAY_MS // 3)
    rig, shelves = SourceRig(HistorySource(HALF_LIFE_MS)), dict[tuple[str, str], Shelf]()
    for step in steps_without_repeated_pairs(log, size):
        rig.step(step)
    for seq, one in log:
        shelves.setdefault((one.user_id, one.item_id), Shelf()).take(seq, one)
    now = rig.graph.horizon.ts + later_days * DAY_MS
    for user in {one.user_id for _, one in log}:
        mine = {item: shelf for (owner, item), shelf in shelves.items() if owner == user}
        visited = sorted((item for item in mine if mine[item].events), key=lambda item: -mine[item].last)
        for item, features in rig.features(user, later_days * DAY_MS).items():
            if item not in mine:
                assert set(features.values()) == {0.0}
                continue
            mine[item].wait(now)
            frequency, refused = min(math.log1p(mine[item].had) / math.log1p(50), 1), mine[item].refused
            assert features["own_frequency"] == pytest.approx(frequency, rel=1e-5, abs=1e-7)
            assert features["refused"] == pytest.approx(2 * refused / (1 + refused), rel=1e-5, abs=1e-7)
            had = mine[item].events > 0
            taken = sum(shelf.events for shelf in mine.values())
            assert features["own_share"] == pytest.approx(mine[item].events / max(taken, 1))
            for name, half_life in AGES.items():
                age = 2.0 ** ((mine[item].last_ts - now) / half_life)
                assert features[f"own_{name}"] == pytest.approx(age if had else 0, rel=1e-5, abs=1e-7)
            assert features["own_seen"] == had
            assert features["own_recency"] == pytest.approx(1 / (1 + visited.index(item)) if had else 0)
        assert rig.proposed(user) >= set(visited)


def test_recent_items_are_distinct_newest_first_and_without_what_was_taken_back() -> None:
    history = HistorySource()
    rig = SourceRig(history)
    for step in cut([event(seq, "ann", item) for seq, item in enumerate(("tea", "milk", "tea", "rum", "jam"))], 2):
        rig.step(step)
    rig.step([event(5, "ann", "rum", EventType.REMOVE)])
    rows = history.recent(rig.graph.user_ids.find(["ann", "nobody"]), 3).tolist()
    assert [[rig.graph.item_ids[row] for row in user if row] for user in rows] == [["jam", "tea", "milk"], []]


def test_an_item_only_ever_refused_is_no_recent_item_of_the_user() -> None:
    rig = SourceRig(HistorySource())
    rig.step([event(0, "bob", "tea"), event(1, "ann", "tea", EventType.DISLIKE)])
    assert rig.features("ann", later_ms=3_000 * DAY_MS)["tea"]["own_recency"] == 0


def test_a_refusal_is_kept_as_long_as_the_items_around_it() -> None:
    rig = SourceRig(HistorySource(capacity=3))
    kinds = [("tea", EventType.PURCHASE), ("milk", EventType.PURCHASE), ("rum", EventType.DISLIKE)]
    log = [event(seq, "ann", item, kind) for seq, (item, kind) in enumerate(kinds)]
    for step in cut([*log, event(3, "ann", "jam")], 1):
        rig.step(step)
    features = rig.features("ann")
    assert features["rum"]["refused"] > 0.9
    assert features["tea"]["own_seen"] == 0, "the least recent is forgotten first"


def test_taking_a_refused_item_again_lifts_the_refusal() -> None:
    rig = SourceRig(HistorySource())
    for step in ([event(0, "ann", "tea", EventType.REMOVE)], [event(1, "ann", "tea")]):
        rig.step(step)
    assert rig.features("ann")["tea"]["refused"] == 0
    assert rig.features("ann")["tea"]["own_frequency"] == pytest.approx(math.log(2) / math.log(51))


@pytest.mark.parametrize("kinds", [("purchase", "remove"), ("remove", "purchase")])
def test_the_last_event_of_a_pair_in_a_batch_decides(kinds: tuple[str, str]) -> None:
    rig = SourceRig(HistorySource())
    rig.step([event(seq, "ann", "tea", EventType.of(kind)) for seq, kind in enumerate(kinds)])
    assert (rig.features("ann")["tea"]["refused"] > 0.9) == (kinds[-1] == "remove")


def test_the_least_recent_item_is_forgotten_first() -> None:
    rig = SourceRig(HistorySource(capacity=3))
    for step in cut([event(seq, "ann", item) for seq, item in enumerate(("tea", "milk", "tea", "rum", "jam"))], 1):
        rig.step(step)
    assert rig.proposed("ann") == {"tea", "rum", "jam"}


def test_the_reason_says_how_often_and_when_last() -> None:
    rig = SourceRig(HistorySource())
    rig.step([event(0, "ann", "tea"), event(1, "ann", "tea"), event(2, "bob", "tea")])
    assert rig.explain("ann", "tea", "own_frequency") == "you had it twice before, last on 14 Nov 2023"
    assert rig.explain("bob", "tea", "own_recency") == "you had it once before, last on 14 Nov 2023"


def test_an_item_taken_back_is_no_item_the_user_had() -> None:
    rig = SourceRig(HistorySource())
    for step in ([event(0, "ann", "tea")], [event(1, "ann", "tea", EventType.REMOVE)]):
        rig.step(step)
    features = rig.features("ann")["tea"]
    assert (features["own_frequency"], features["own_recency"], features["own_seen"]) == (0, 0, 0)


def test_a_forgotten_user_has_no_items() -> None:
    rig = SourceRig(HistorySource())
    rig.step([event(0, "ann", "tea"), event(1, "bob", "tea")])
    rig.source.forget_user(int(rig.graph.user_ids.find(["ann"])[0]))
    assert rig.proposed("ann") == set()
    assert rig.proposed("bob") == {"tea"}
