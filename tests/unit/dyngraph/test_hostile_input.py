"""What real streams bring, too: each case has a meaning, or an error that names the event and changes nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
import torch
from unit.dyngraph.small_logs import DAY_MS, SMALL, START_MS, Event, event, fed, random_log

from dyngraph.batch import MAX_SEQ, BadBatch
from dyngraph.engine import Engine, QueryInThePast
from dyngraph.events import MAX_TS_MS, EventType, Interaction
from dyngraph.order import Moment
from models.system import build_engine

LOG = random_log(40, seed=3)
GOOD = [event(40, "user-1", "item-2"), event(41, "newcomer", "new item")]


def with_features(entry: Event, *features: float) -> Event:
    """The same event with optional features."""
    seq, one = entry
    return seq, Interaction(one.event_id, one.user_id, one.item_id, one.event_type, one.ts, one.value, features)


def refused(engine: Engine, batch: Sequence[Event], named: str) -> str:
    """The error's text, after checking that it names the event and that not one bit has changed."""
    before, horizon, sizes = engine.digest(), engine.graph.horizon, engine.graph.sizes()
    with pytest.raises(BadBatch, match=named) as error:
        engine.step(batch)
    assert engine.digest() == before
    assert engine.graph.horizon == horizon
    assert engine.graph.sizes() == sizes
    return str(error.value)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_value_that_is_not_finite_is_refused_by_the_events_name(wrong: float, place: int) -> None:
    batch = list(GOOD)
    batch.insert(place, event(42, "another newcomer", "item-1", value=wrong))
    refused(fed(LOG, 8), batch, "event-42")


@pytest.mark.parametrize("wrong", [(0.5, 0.5), (math.nan,), (math.inf,)])
def test_features_that_the_graph_was_not_made_for_are_refused_by_the_events_name(wrong: tuple[float, ...]) -> None:
    refused(fed(LOG, 8), [*GOOD, with_features(event(42, "another newcomer", "item-1"), *wrong)], "event-42")


@pytest.mark.parametrize("ts", [-1, -(2**63), MAX_TS_MS, 2**63 - 1, 2**63, 10**23])
def test_a_time_outside_of_the_calendar_is_refused_by_the_events_name(ts: int) -> None:
    refused(fed(LOG, 8), [*GOOD, event(42, "another newcomer", "item-1", ts=ts)], "event-42")


@pytest.mark.parametrize("seq", [-1, MAX_SEQ, 2**63 - 1, 2**63, 10**23])
def test_a_place_in_the_log_that_cannot_be_is_refused_by_the_events_name(seq: int) -> None:
    batch = [*GOOD, (seq, event(42, "another newcomer", "item-1")[1])]
    refused(fed(LOG, 8), batch, "event-42")


def test_two_events_at_one_place_of_the_log_are_refused_by_the_name_of_one() -> None:
    refused(fed(LOG, 8), [*GOOD, (40, event(42, "another newcomer", "item-1")[1])], "event-42")


@pytest.mark.parametrize("wrong", ["", "\ud800"], ids=["empty", "no UTF-8"])
@pytest.mark.parametrize("side", ["user", "item"])
def test_an_id_that_cannot_be_kept_is_refused_by_the_events_name(side: str, wrong: str) -> None:
    user, item = (wrong, "item-1") if side == "user" else ("user-1", wrong)
    refused(fed(LOG, 8), [*GOOD, event(42, user, item)], "event-42")


@pytest.mark.parametrize("batch", [[], [event(40, "user-1", "item-2", EventType.IMPRESSION)]], ids=["none", "no event"])
def test_an_empty_batch_changes_nothing(batch: list[Event]) -> None:
    engine = fed(LOG, 8)
    before, horizon = engine.digest(), engine.graph.horizon
    result = engine.step(batch)
    assert (result.events, result.users, result.ranks) == (0, [], {})
    assert engine.digest() == before
    assert engine.graph.horizon == result.horizon == horizon


def test_times_that_go_backwards_in_a_batch_are_taken_in_the_order_of_time() -> None:
    times = [START_MS + DAY_MS + 1_000 * gap for gap in (9, 4, 4, 7, 0, 9)]
    batch = [event(40 + place, f"user-{place % 3}", f"item-{place}", ts=ts) for place, ts in enumerate(times)]
    straight = fed(LOG, 8)
    straight.step(sorted(batch, key=lambda entry: (entry[1].ts, entry[0])))
    for seed in range(4):
        engine, shuffled = fed(LOG, 8), list(batch)
        random.Random(seed).shuffle(shuffled)
        engine.step(shuffled)
        assert engine.digest() == straight.digest()
        assert engine.graph.horizon == Moment(times[0], 45)


def test_a_batch_of_one_pair_a_thousand_times_is_one_long_story() -> None:
    engine = fed(LOG, 8)
    before = int(engine.graph.users.events[engine.graph.user_ids.find(["user-1"])])
    result = engine.step([event(40 + n, "user-1", "item-2", ts=START_MS + DAY_MS + n // 3) for n in range(1_000)])
    row = engine.graph.user_ids.find(["user-1"])
    assert result.events == 1_000
    assert result.users == ["user-1"]
    assert int(engine.graph.users.events[row]) == before + 1_000
    latest = engine.graph.users.neighbours.before(row, torch.tensor([2**62]), torch.tensor([0]))
    assert sorted(latest.seq[0].tolist()) == [1036, 1037, 1038, 1039]
    assert all(torch.isfinite(value).all() for value in engine.state().values() if value.is_floating_point())
    assert len(engine.recommend(["user-1"])[0].items) > 0


def test_ids_that_are_numbers_at_the_edge_of_64_bits_are_names_like_any_other() -> None:
    names = [str(n) for n in (0, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40)]
    engine = build_engine(SMALL)
    for seq, name in enumerate(names):
        engine.step([event(seq, name, names[-1 - seq])])
    assert engine.graph.user_ids.find(names).tolist() == list(range(1, 11))
    assert engine.graph.item_ids.find(names).tolist() == list(range(10, 0, -1))
    again = build_engine(SMALL)
    again.load_state(engine.state())
    assert again.recommend(names) == engine.recommend(names)


@pytest.mark.parametrize("first", [2**31 - 2, 2**32 - 2, MAX_SEQ - 24])
def test_places_in_the_log_keep_their_order_however_large_they_are(first: int) -> None:
    engine, small = build_engine(SMALL), build_engine(SMALL)
    moment = START_MS + DAY_MS
    pairs = [(f"user-{n % 2}", f"item-{n % 5}") for n in range(24)]
    for start in range(0, len(pairs), 3):
        for target, base in ((engine, first), (small, 0)):
            step = [(base + n, event(n, *pairs[n], ts=moment)[1]) for n in range(start, start + 3)]
            target.step(step, learn=False)
    users = ["user-0", "user-1"]
    given, expected = engine.recommend(users), small.recommend(users)
    assert [answer.items for answer in given] == [answer.items for answer in expected]


def test_a_last_moment_of_the_calendar_can_be_learned_from_and_asked_after() -> None:
    engine = fed(LOG, 8)
    engine.step([event(40, "user-1", "item-2", ts=MAX_TS_MS - 1)])
    engine.step([event(41, "user-1", "item-3", ts=START_MS)])
    assert all(torch.isfinite(value).all() for value in engine.state().values() if value.is_floating_point())
    assert all(math.isfinite(item.score) for item in engine.recommend(["user-1"])[0].items)


@pytest.mark.parametrize("back", [(0, 0), (0, -1), (-1, 0), (-DAY_MS, 10**6)])
def test_a_question_about_the_past_is_refused_and_changes_nothing(back: tuple[int, int]) -> None:
    engine = fed(LOG, 8)
    before, horizon = engine.digest(), engine.graph.horizon
    with pytest.raises(QueryInThePast, match=str(horizon.ts)):
        engine.recommend(["user-1"], Moment(horizon.ts + back[0], horizon.seq + back[1]))
    assert engine.digest() == before


def test_the_good_events_of_a_refused_batch_can_be_taken_again_without_the_bad_one() -> None:
    engine, untroubled = fed(LOG, 8), fed(LOG, 8)
    refused(engine, [*GOOD, event(42, "another newcomer", "item-1", value=math.nan)], "event-42")
    engine.step(GOOD)
    untroubled.step(GOOD)
    assert engine.digest() == untroubled.digest()
