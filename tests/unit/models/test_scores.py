"""What moves a score: the time of asking, a refusal, a change of mind."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from unit.dyngraph.small_logs import DAY_MS, EVERY_KIND, MINUTE_MS, SMALL, event, fed, random_log, scores, top

from dyngraph.engine import Engine
from dyngraph.events import NEGATIVE, EventType
from models.system import SystemConfig


def after(engine: Engine, user: str, item: str, kind: EventType, wait_ms: int = MINUTE_MS) -> Engine:
    horizon = engine.graph.horizon
    engine.step([event(horizon.seq + 1, user, item, kind, ts=horizon.ts + wait_ms)])
    return engine


@pytest.mark.parametrize("without", [(), ("history", "popularity", "transitions")], ids=["all sources", "graph alone"])
def test_the_time_of_asking_matters(without: tuple[str, ...]) -> None:
    config = SystemConfig(tgn=SMALL.tgn, without=without)
    engine = fed(random_log(40, seed=6), config=config)
    now, later = scores(engine, "user-1"), scores(engine, "user-1", later_ms=30 * DAY_MS)
    assert now.keys() == later.keys()
    assert max(abs(now[item] - later[item]) for item in now) > 1e-3


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from(sorted(NEGATIVE)), st.integers(0, 5), st.integers(0, 11), st.booleans())
def test_a_refused_item_falls_and_leaves_the_list(
    seed: int, refusal: EventType, user_number: int, item_number: int, learn: bool
) -> None:
    engine = fed(random_log(32, seed=seed, kinds=EVERY_KIND), size=16, learn=learn)
    user, item = f"user-{user_number}", f"item-{item_number}"
    before = scores(engine, user)
    assume(before.get(item, -99.0) > -10)  # not refused already
    now = scores(after(engine, user, item, refusal), user)
    assert now[item] < before[item] - 1
    assert list(now).index(item) >= list(before).index(item)
    assert item not in {listed.item_id for listed in top(engine, user, k=5)}


def test_an_item_bought_and_then_returned_is_lower_than_before_it_was_bought() -> None:
    engine = fed(random_log(32, seed=9))
    before = scores(engine, "user-2")
    for kind in (EventType.PURCHASE, EventType.REMOVE):
        after(engine, "user-2", "item-3", kind)
    assert scores(engine, "user-2")["item-3"] < before["item-3"]


@pytest.mark.parametrize("days", [1, 30, 365, 3650])
def test_however_long_ago_a_refusal_never_raises_an_item(days: int) -> None:
    engine = fed(random_log(32, seed=9), learn=False, config=SystemConfig(tgn=SMALL.tgn, without=("graph",)))
    after(engine, "newcomer", "item-3", EventType.DISLIKE)
    refused = scores(engine, "newcomer", later_ms=days * DAY_MS)["item-3"]
    assert refused <= scores(engine, "stranger", later_ms=days * DAY_MS)["item-3"]


def test_buying_a_refused_item_again_brings_it_back() -> None:
    engine = after(fed(random_log(32, seed=9)), "user-2", "item-3", EventType.REMOVE)
    refused = scores(engine, "user-2")["item-3"]
    after(engine, "user-2", "item-3", EventType.PURCHASE)
    assert scores(engine, "user-2")["item-3"] > refused + 10
    assert "item-3" in {listed.item_id for listed in top(engine, "user-2", k=5)}


def test_a_refusal_by_one_user_leaves_the_item_in_the_lists_of_others() -> None:
    engine = fed(random_log(32, seed=9))
    best = top(engine, "user-1", k=1)[0].item_id
    after(engine, "user-2", best, EventType.DISLIKE)
    assert best in {listed.item_id for listed in top(engine, "user-1", k=5)}
