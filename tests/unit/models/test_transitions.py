"""Item-to-item evidence agrees with counting in plain Python."""

from __future__ import annotations

import math
import random
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

DECAY = 0.8


class Counting:
    """The reference: every pair counted one event at a time."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.events: dict[str, Counter[str]] = defaultdict(Counter)
        self.visits: dict[str, list[str]] = defaultdict(list)
        self.count, self.audience = Counter[str](), Counter[str]()
        self.together, self.follows = Counter[tuple[str, str]](), Counter[tuple[str, str]]()

    def recent(self, user: str) -> list[str]:
        return [item for item in dict.fromkeys(reversed(self.visits[user])) if self.events[user][item]][: self.window]

    def take(self, log: Sequence[tuple[int, Interaction]]) -> None:
        for _, one in log:
            mine = self.events[one.user_id]
            if one.event_type in POSITIVE:
                new = not mine[one.item_id]
                self.count[one.item_id] += 1
                self.audience[one.item_id] += new
                for place, before in enumerate(self.recent(one.user_id)):
                    if before != one.item_id:
                        self.together[before, one.item_id] += new
                        self.together[one.item_id, before] += new
                        self.follows[before, one.item_id] += place == 0
                mine[one.item_id] += 1
                self.visits[one.user_id].append(one.item_id)
            else:
                mine[one.item_id] = max(mine[one.item_id] - 1, 0)

    def evidence(self, user: str, item: str) -> tuple[float, float]:
        recent = self.recent(user)
        together = sum(
            DECAY**place * self.together[other, item] / math.sqrt(max(self.audience[other] * self.audience[item], 1))
            for place, other in enumerate(recent)
        )
        follows = self.follows[recent[0], item] / self.count[recent[0]] if recent else 0.0
        return together, follows


def rigged(**settings: Any) -> SourceRig:
    history = HistorySource()
    return SourceRig(TransitionSource(history, **settings), after=[history])


def compare(rig: SourceRig, reference: Counting, users: set[str]) -> None:
    for user in users:
        found = rig.features(user)
        expected = {item: reference.evidence(user, item) for item in found}
        for kind, name in enumerate(("together", "follows")):
            best = max(evidence[kind] for evidence in expected.values()) or 1.0
            for item, features in found.items():
                evidence = expected[item][kind]
                assert features[name] == pytest.approx(evidence / best, rel=1e-5)
                assert features[f"{name}_strength"] == pytest.approx(math.sqrt(evidence / (1 + evidence)), rel=1e-5)
        assert rig.proposed(user) == {item for item, evidence in expected.items() if any(evidence)}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((1, 3, 10)))
def test_one_event_at_a_time_counts_are_those_of_plain_python(seed: int, window: int) -> None:
    log = random_log(50, users=3, items=7, seed=seed, kinds=EVERY_KIND)
    rig, reference = rigged(window=window, place_decay=DECAY), Counting(window)
    for step in cut(log, 1):
        rig.step(step)
        reference.take(step)
    compare(rig, reference, {one.user_id for _, one in log})


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from((1, 3)), st.sampled_from((2, 7, 40)))
def test_the_cut_of_the_log_does_not_matter_where_nobody_repeats_an_item(seed: int, window: int, size: int) -> None:
    rng = random.Random(seed)
    pairs = [(f"user-{user}", f"item-{item}") for user in range(4) for item in range(10)]
    rng.shuffle(pairs)
    log = [event(seq, *pair) for seq, pair in enumerate(pairs)]
    rig, reference = rigged(window=window, place_decay=DECAY), Counting(window)
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
