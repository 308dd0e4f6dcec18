"""Item-to-item evidence agrees with counting in plain Python."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import EVERY_KIND, cut, event, random_log
from unit.models.source_rig import SourceRig

from dyngraph.events import POSITIVE, EventType, Interaction
from models.sources.history import HistorySource
from models.sources.transitions import TransitionSource

KINDS = ("together_now", "together", "together_long", "follows", "follows_recent", "leads_to")
STRENGTHS = {"together": "together_strength", "follows_recent": "follows_strength"}


class Counting:
    """The reference: every pair counted one event at a time."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.events: dict[str, Counter[str]] = defaultdict(Counter)
        self.visits: dict[str, list[str]] = defaultdict(list)
        self.count, self.audience = Counter[str](), Counter[str]()
        self.together, self.follows = Counter[tuple[str, str]](), Counter[tuple[str, str]]()

    def recent(self, user: str, most: int) -> list[str]:
        return [item for item in dict.fromkeys(reversed(self.visits[user])) if self.events[user][item]][:most]

    def take(self, log: Sequence[tuple[int, Interaction]]) -> None:
        for _, one in log:
            mine = self.events[one.user_id]
            if one.event_type in POSITIVE:
                new = not mine[one.item_id]
                self.count[one.item_id] += 1
                self.audience[one.item_id] += new
                for place, before in enumerate(self.recent(one.user_id, self.window)):
                    if before != one.item_id:
                        self.together[before, one.item_id] += new
                        self.together[one.item_id, before] += new
                        self.follows[before, one.item_id] += place == 0
                mine[one.item_id] += 1
                self.visits[one.user_id].append(one.item_id)
            else:
                mine[one.item_id] = max(mine[one.item_id] - 1, 0)

    def evidence(self, user: str, item: str) -> dict[str, float]:
        found = dict.fromkeys(KINDS, 0.0)
        for place, other in enumerate(self.recent(user, 50)):
            both, after = self.together[other, item], self.follows[other, item] / max(self.count[other], 1)
            near = both / math.sqrt(max(self.audience[other], 1) * max(self.audience[item], 1))
            found["together_long"] += 0.97**place * near
            if place < self.window:
                found["together_now"] += 0.5**place * near
                found["together"] += 0.85**place * near
                found["follows_recent"] += 0.7**place * after
                found["leads_to"] += 0.85**place * both / max(self.audience[other], 1)
                found["follows"] += after * (place == 0)
        return found


def rigged(**settings: Any) -> SourceRig:
    history = HistorySource()
    return SourceRig(TransitionSource(history, **settings), after=[history])


def compare(rig: SourceRig, reference: Counting, users: set[str]) -> None:
    for user in users:
        found = rig.features(user)
        expected = {item: reference.evidence(user, item) for item in found}
        for name in KINDS:
            best = max(evidence[name] for evidence in expected.values()) or 1.0
            for item, features in found.items():
                share = expected[item][name] / best
                assert features[name] == pytest.approx(share, rel=1e-5)
                log_share = min(max(1 + math.log(0.003 + share) / 5.8, 0.0), 1.0) if share else 0.0
                assert features[f"{name}_log"] == pytest.approx(log_share, rel=1e-4, abs=1e-5)
        for name, feature in STRENGTHS.items():
            for item, features in found.items():
                strength = math.sqrt(expected[item][name] / (1 + expected[item][name]))
                assert features[feature] == pytest.approx(strength, rel=1e-5)
        assert rig.proposed(user) == {item for item, evidence in expected.items() if any(evidence.values())}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((1, 3, 10)), st.sampled_from((1, 6, 50)))
def test_counts_are_those_of_plain_python_however_the_log_is_cut(seed: int, window: int, size: int) -> None:
    log = random_log(50, users=3, items=7, seed=seed, kinds=EVERY_KIND)
    rig, reference = rigged(window=window), Counting(window)
    for step in cut(log, size):
        rig.step(step)
    reference.take(log)
    compare(rig, reference, {one.user_id for _, one in log})


def test_an_item_never_goes_with_itself_however_often_it_repeats_in_a_batch() -> None:
    rig = rigged()
    rig.step([event(seq, "ann", "tea") for seq in range(5)])
    assert rig.proposed("ann") == set()


def test_going_to_and_fro_between_two_items_counts_once_per_user() -> None:
    rig = rigged()
    for step in cut([event(seq, "ann", ("tea", "milk")[seq % 2]) for seq in range(9)], 2):
        rig.step(step)
    assert rig.features("ann")["milk"]["together_strength"] == pytest.approx(math.sqrt(0.5))
    assert rig.features("ann")["milk"]["follows_strength"] > math.sqrt(0.4)


def test_refusals_are_no_evidence() -> None:
    rig = rigged()
    rig.step(
        [event(0, "ann", "tea"), event(1, "ann", "rum", EventType.REMOVE), event(2, "ann", "rum", EventType.DISLIKE)]
    )
    assert rig.proposed("ann") == set()


def test_only_the_most_frequent_partners_are_kept() -> None:
    rig = rigged(capacity=2)
    log = [event(0, "u0", "tea"), event(1, "u0", "milk"), event(2, "u1", "tea"), event(3, "u1", "milk")]
    log += [event(4, "u2", "tea"), event(5, "u2", "rum"), event(6, "u3", "tea"), event(7, "u3", "jam")]
    for step in cut([*log, event(8, "ann", "tea")], 1):
        rig.step(step)
    assert rig.proposed("ann") == {"milk", "jam"}


def test_the_reason_names_the_item_that_gave_most() -> None:
    rig = rigged()
    log = [event(0, "u0", "tea"), event(1, "u0", "milk"), event(2, "u1", "tea"), event(3, "u1", "milk")]
    for step in cut([*log, event(4, "ann", "rum"), event(5, "ann", "tea")], 2):
        rig.step(step)
    assert rig.explain("ann", "milk", "together") == "often goes with tea"
    assert rig.explain("ann", "milk", "follows") == "often follows tea"
