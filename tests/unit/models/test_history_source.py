"""What a user had and refused agrees with one dictionary per user."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import DAY_MS, EVERY_KIND, START_MS, cut, event, random_log
from unit.models.source_rig import SourceRig

from dyngraph.batch import Columns, EventBatch
from dyngraph.earlier import Earlier
from dyngraph.events import POSITIVE, EventType, Interaction
from dyngraph.protocols import Queries
from models.sources.history import HistorySource

HOUR_MS = DAY_MS / 24
HALF_LIFE_MS = 3 * DAY_MS
AGES = {"minute": DAY_MS / 1440, "hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS}
Log = Sequence[tuple[int, Interaction]]


class Shelf:
    """The reference: what one user had of one item, decayed to ``at``."""

    def __init__(self) -> None:
        self.at, self.events, self.had, self.refused, self.last, self.last_ts = 0, 0, 0.0, 0.0, -1, 0
        self.baskets: dict[int, int] = {}
        """Number → ts of the user's baskets that the item was in."""

    def wait(self, until: int) -> None:
        fade = 2.0 ** ((self.at - until) / HALF_LIFE_MS)
        self.had, self.refused, self.at = self.had * fade, self.refused * fade, until

    def take(self, seq: int, one: Interaction, basket: int) -> None:
        self.wait(one.ts)
        if one.event_type in POSITIVE:
            self.events, self.had, self.refused, self.last = self.events + 1, self.had + 1, 0.0, seq
            self.last_ts = one.ts
            self.baskets[basket] = one.ts
        else:
            self.events, self.had = max(self.events - 1, 0), max(self.had - 1, 0.0)
            self.refused += 1


class Shop:
    """The reference: the shelves of every user, and how often an item was taken, and taken again."""

    def __init__(self, log: Log) -> None:
        self.shelves: dict[str, dict[str, Shelf]] = {}
        self.baskets: dict[str, list[int]] = {}
        self.taken, self.again = Counter[str](), Counter[str]()
        self.taken_by, self.again_by = Counter[str](), Counter[str]()
        for seq, one in log:
            shelf = self.shelves.setdefault(one.user_id, {}).setdefault(one.item_id, Shelf())
            baskets = self.baskets.setdefault(one.user_id, [])
            if one.event_type in POSITIVE:
                if one.ts not in baskets:
                    baskets.append(one.ts)
                self.taken.update([one.item_id])
                self.taken_by.update([one.user_id])
                if shelf.events:
                    self.again.update([one.item_id])
                    self.again_by.update([one.user_id])
            shelf.take(seq, one, len(baskets))

    def visited(self, user: str) -> list[str]:
        """Newest first."""
        shelves = self.shelves[user]
        return sorted((item for item in shelves if shelves[item].events), key=lambda item: -shelves[item].last)

    def features(self, user: str, item: str, now: int) -> dict[str, float]:
        """Those that are not 0."""
        shelf = self.shelves[user].get(item, Shelf())
        shelf.wait(now)
        refused = {"refused": 2 * shelf.refused / (1 + shelf.refused)}
        if not shelf.events:
            return refused
        age, number = now - shelf.last_ts, len(self.baskets[user])
        times, first, last = len(shelf.baskets), min(shelf.baskets), max(shelf.baskets)
        ages = {f"own_{name}": 2.0 ** (-age / half_life) for name, half_life in AGES.items()}
        rhythm = 0.0
        if times > 1:
            usual = (shelf.baskets[last] - shelf.baskets[first]) / (times - 1)
            rhythm = math.exp(-abs(math.log((age + HOUR_MS) / (usual + HOUR_MS))))
        baskets = {
            "own_last_basket": float(last == number),
            "own_basket_before": float(last == number - 1),
            "own_basket_recency": 1 / (1 + number - last),
            "own_basket_share": times / number,
            "own_basket_rate": times / (number - first + 1),
            "own_basket_odds": math.log((times + 0.3) / (number - first + 1.5)) / 3,
            "own_rhythm": rhythm,
            "own_repeated": float(times > 1),
            "own_item_repeats": math.log((self.again[item] + 0.5) / (self.taken[item] + 2)) / 4,
        }
        visits = {
            "own_frequency": min(math.log1p(shelf.had) / math.log1p(50), 1),
            "own_recency": 1 / (1 + self.visited(user).index(item)),
            "own_share": shelf.events / sum(other.events for other in self.shelves[user].values()),
            "own_seen": 1.0,
        }
        return visits | ages | baskets | refused


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from((1, 6, 50)), st.integers(0, 400))
def test_features_are_those_of_a_dictionary_per_user(seed: int, size: int, later_days: int) -> None:
    log = random_log(50, users=3, items=7, seed=seed, kinds=EVERY_KIND, step_ms=DAY_MS // 3)
    rig, shop = SourceRig(HistorySource(HALF_LIFE_MS)), Shop(log)
    for step in cut(log, size):
        rig.step(step)
    now = rig.graph.horizon.ts + later_days * DAY_MS
    for user in shop.shelves:
        for item, features in rig.features(user, later_days * DAY_MS).items():
            expected = shop.features(user, item, now)
            assert features == pytest.approx(dict.fromkeys(features, 0.0) | expected, rel=1e-5, abs=1e-7)
            assert set(expected) <= set(features)
        assert rig.proposed(user) >= set(shop.visited(user))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_what_a_user_is_known_for_is_the_same_whatever_the_batch(seed: int) -> None:
    log = random_log(60, users=3, items=7, seed=seed, kinds=EVERY_KIND)
    histories = []
    for size in (1, 6, 60):
        rig = SourceRig(HistorySource(HALF_LIFE_MS, capacity=5))
        for step in cut(log, size):
            rig.step(step)
        users = torch.arange(len(rig.graph.user_ids))
        features = {user: rig.features(user) for user in list(rig.graph.user_ids)[1:]}
        lists = rig.source.recent(users, 5).tolist()
        histories.append((features, lists, rig.source.habits(users).tolist()))
    assert histories[0] == histories[1] == histories[2]


# -- what users did earlier in the batch that is being ranked ---------------------------------------------------


ITEMS = 12
OPENING = [event(seq, "opener", f"item-{seq}", ts=START_MS - DAY_MS) for seq in range(ITEMS)]


def queries_of(batch: EventBatch, earlier: Earlier | None) -> Queries:
    return Queries(batch.users, batch.ts, batch.seq, torch.zeros(len(batch), 2), earlier)


def taken(batch: EventBatch, places: Sequence[int]) -> EventBatch:
    columns = (batch.users, batch.items, batch.types, batch.values, batch.ts, batch.seq)
    return EventBatch(*(column[torch.tensor(places)] for column in columns))


def copied(history: HistorySource, **settings: int) -> HistorySource:
    again = HistorySource(HALF_LIFE_MS, **settings)
    again.load_state({name: value.clone() for name, value in history.state().items()})
    return again


def answers(rig: SourceRig, history: HistorySource, queries: Queries) -> list[tuple[object, ...]]:
    """All that the history says, per query."""
    users, earlier = queries.users, queries.earlier
    items = torch.arange(len(rig.graph.item_ids)).expand(len(queries), -1)
    parts = (
        history.describe(rig.graph, queries, items),
        history.had(users, items, earlier),
        history.recent(users, 5, earlier),
        history.habits(users, earlier),
    )
    proposed = [[row for row in rows if row] for rows in history.propose(rig.graph, queries).tolist()]
    return list(zip(*(part.tolist() for part in parts), proposed, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from((3, 128)), st.integers(0, 60))
@example(298, 3, 31)
def test_a_query_knows_what_its_user_did_earlier_in_the_batch(seed: int, capacity: int, past: int) -> None:
    log = [(ITEMS + seq, one) for seq, one in random_log(90, users=4, items=ITEMS, seed=seed, kinds=EVERY_KIND)]
    rig = SourceRig(history := HistorySource(HALF_LIFE_MS, capacity, propose=8))
    rig.step(OPENING)
    for step in cut(log[:past], 7):
        rig.step(step)
    columns = Columns(log[past : past + 30])
    met = rig.graph.find(columns)
    earlier = met.earlier_of(np.unique(columns.users, return_inverse=True)[1])
    before = {name: value.clone() for name, value in history.state().items()}
    given_answers = answers(rig, history, queries_of(met, earlier))
    asked, event_of, _ = earlier.baskets()
    basket_answers = answers(rig, history, queries_of(taken(met, event_of.tolist()), asked))
    assert all(value.equal(before[name]) for name, value in history.state().items()), "asking has changed something"

    batch = rig.graph.admit(columns)
    expected: dict[int, tuple[object, ...]] = {}
    for user in batch.users.unique():
        alone = copied(history, capacity=capacity, propose=8)
        alone.grow(*rig.graph.sizes())
        for place in (batch.users == user).nonzero().squeeze(1).tolist():
            one = taken(batch, [place])
            (expected[place],) = answers(rig, alone, queries_of(one, None))
            alone.observe(rig.graph, one)
    assert given_answers == [expected[place] for place in range(len(batch))]
    assert basket_answers == [expected[place] for place in event_of.tolist()]


@pytest.mark.parametrize("pause_ms", [0, 400 * HALF_LIFE_MS], ids=["first batch ever", "after a long pause"])
def test_what_came_earlier_in_the_batch_weighs_as_if_observed_when_the_clock_moves(pause_ms: float) -> None:
    rig = SourceRig(history := HistorySource(HALF_LIFE_MS / 1000))
    first = [event(0, "ann", "tea", ts=START_MS), event(1, "bob", "tea", EventType.DISLIKE, ts=START_MS)]
    if pause_ms:
        rig.step(first)
        rig.step([event(2, "ann", "tea", ts=START_MS + int(pause_ms))])
        first = []
    late = START_MS + int(pause_ms) * 2
    batch = rig.graph.admit(Columns([*first, event(3, "ann", "tea", ts=late), event(4, "ann", "tea", ts=late + 9)]))
    history.grow(*rig.graph.sizes())
    last = len(batch) - 1
    tea = rig.graph.item_ids.find(["tea"]).unsqueeze(0)
    ahead = history.describe(rig.graph, queries_of(batch, batch.earlier), tea.expand(len(batch), -1))[last]
    history.observe(rig.graph, taken(batch, list(range(last))))
    observed = history.describe(rig.graph, queries_of(taken(batch, [last]), None), tea)[0]
    assert torch.isfinite(ahead).all()
    torch.testing.assert_close(ahead, observed)
    assert ahead[0, 0] > 0.1


def test_an_item_without_a_row_counts_for_its_user_and_is_named_nowhere() -> None:
    rig = SourceRig(history := HistorySource())
    rig.step([event(0, "ann", "tea")])
    met = rig.graph.find(Columns([event(1, "ann", "new"), event(2, "ann", "newer"), event(3, "ann", "tea")]))
    earlier = met.earlier_of(np.zeros(3, np.int64))
    tea = rig.graph.item_ids.find(["tea"])
    values = history.describe(rig.graph, queries_of(met, earlier), tea.expand(3, 1))[2, 0].tolist()
    features = dict(zip((feature.name for feature in history.features), values, strict=True))
    third = pytest.approx(1 / 3)
    assert (features["own_recency"], features["own_share"], features["own_basket_share"]) == (third, third, third)
    assert history.recent(met.users, 2, earlier)[2].tolist() == [int(tea), 0]
    assert not history.had(met.users, torch.zeros(3, 1, dtype=torch.int64), earlier).any()
    assert history.habits(met.users, earlier)[2].tolist() == pytest.approx([0, math.log(4) / 5])


# -- one rule each ------------------------------------------------------------------------------------------------


def test_a_basket_that_is_cut_in_two_stays_one() -> None:
    log = [event(seq, "ann", item, ts=START_MS + DAY_MS * (seq > 1)) for seq, item in enumerate(("tea", "rum") * 2)]
    found = []
    for size in (1, 4):
        rig = SourceRig(history := HistorySource())
        for step in cut(log, size):
            rig.step(step)
        found.append((rig.features("ann"), history.habits(rig.graph.user_ids.find(["ann"])).tolist()))
    assert found[0] == found[1]
    features, ((repeats, baskets),) = found[0]
    assert (features["tea"]["own_basket_share"], features["tea"]["own_last_basket"]) == (1, 1)
    assert (repeats, baskets) == pytest.approx((0.5, math.log(3) / 5))


def test_an_item_is_due_when_its_usual_time_has_passed() -> None:
    rig = SourceRig(HistorySource())
    rig.step([event(number, "ann", "tea", ts=START_MS + number * 7 * DAY_MS) for number in range(3)])
    rhythm = [rig.features("ann", later_ms=days * DAY_MS)["tea"]["own_rhythm"] for days in (1, 7, 30)]
    assert rhythm[1] == pytest.approx(1)
    assert max(rhythm[0], rhythm[2]) < 0.3


@pytest.mark.parametrize("half_life_ms", AGES.values(), ids=AGES)
def test_an_age_becomes_nothing_before_it_becomes_a_subnormal_number(half_life_ms: float) -> None:
    rig = SourceRig(HistorySource())
    rig.step([event(0, "ann", "tea")])
    features = rig.features("ann", later_ms=int(135 * half_life_ms))["tea"]
    smallest = torch.finfo(torch.float32).tiny
    assert all(features[f"own_{name}"] == 0 or features[f"own_{name}"] >= smallest for name in AGES)


def test_a_restored_history_goes_on_like_the_first() -> None:
    log = random_log(80, users=3, items=20, kinds=EVERY_KIND)
    rig, other = SourceRig(HistorySource(HALF_LIFE_MS)), SourceRig(HistorySource(HALF_LIFE_MS))
    for number, step in enumerate(cut(log, 10)):
        if number == 4:
            other.source = copied(other.source)  # type: ignore[arg-type]
            other.sources = (other.source,)
        rig.step(step)
        other.step(step)
    state = other.source.state()
    assert all(value.equal(state[name]) for name, value in rig.source.state().items())


def test_rows_grown_for_a_step_that_failed_leave_nothing_behind() -> None:
    rig = SourceRig(history := HistorySource())
    rig.step([event(0, "ann", "tea")])
    before = {name: value.clone() for name, value in history.state().items()}
    history.grow(500, 700)
    history.truncate(*rig.graph.sizes())
    assert all(value.equal(before[name]) for name, value in history.state().items())


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
