"""Lists: who gets what when little is known, what filters hide, and when asking is refused."""

from __future__ import annotations

import pytest
from unit.dyngraph.small_logs import SMALL, START_MS, event, fed, feed, random_log, top

from dyngraph.engine import QueryInThePast
from dyngraph.events import EventType, Item
from dyngraph.lists import Filters
from dyngraph.order import BEGINNING, Moment
from models.system import SystemConfig, build_engine

LOG = random_log(64, seed=14)


def test_an_empty_graph_answers_with_empty_lists() -> None:
    engine = build_engine(SMALL)
    answers = engine.recommend(["ann", "bob"])
    assert [(answer.user_id, answer.items, answer.horizon) for answer in answers] == [
        ("ann", [], BEGINNING),
        ("bob", [], BEGINNING),
    ]


def test_asking_for_nobody_gives_nothing() -> None:
    assert fed(LOG).recommend([]) == []


def test_the_first_event_makes_the_first_list() -> None:
    engine = build_engine(SMALL)
    engine.step([event(0, "ann", "tea")])
    assert [item.item_id for item in top(engine, "bob")] == ["tea"]


@pytest.mark.parametrize("learn", [True, False])
def test_an_unknown_user_gets_the_most_popular_item_first(learn: bool) -> None:
    engine = build_engine(SMALL)
    log = [event(seq, f"user-{seq % 9}", "hit" if seq % 2 else f"item-{seq % 20}") for seq in range(80)]
    feed(engine, log, 16, learn=learn)
    assert top(engine, "nobody has seen me")[0].item_id == "hit"


def test_all_unknown_users_get_the_same_list() -> None:
    one, two = fed(LOG).recommend(["stranger", "other stranger"])
    assert one.items == two.items


def test_a_list_is_the_same_whoever_else_asks() -> None:
    engine = fed(LOG)
    (alone,) = engine.recommend(["user-1"])
    _, among, _ = engine.recommend(["user-0", "user-1", "nobody"])
    assert [item.item_id for item in alone.items] == [item.item_id for item in among.items]
    assert [item.score for item in alone.items] == pytest.approx([item.score for item in among.items], abs=1e-4)


def test_items_are_ranked_from_one_by_falling_score_and_never_twice() -> None:
    items = top(fed(LOG), "user-1", k=8)
    assert [item.rank for item in items] == list(range(1, 9))
    assert sorted((item.score for item in items), reverse=True) == [item.score for item in items]
    assert len({item.item_id for item in items}) == 8


def test_the_list_after_an_event_sees_the_event() -> None:
    engine = fed(LOG)
    before = engine.recommend(["user-1"])[0]
    engine.step([event(64, "user-1", "item-7")])
    after = engine.recommend(["user-1"])[0]
    assert after.horizon == Moment(START_MS + 64 * 60_000, 64) > before.horizon
    assert after.items != before.items


def test_a_question_about_the_past_is_refused_with_the_way_out() -> None:
    engine = fed(LOG)
    horizon = engine.graph.horizon
    for at in (horizon, Moment(horizon.ts - 1, horizon.seq + 9), Moment(0, 0)):
        with pytest.raises(QueryInThePast, match="ask later, or replay the log"):
            engine.recommend(["user-1"], at)
    assert engine.recommend(["user-1"], horizon.next())[0].items


def test_unavailable_and_excluded_items_are_never_listed() -> None:
    engine = fed(LOG)
    first, second, third = top(engine, "user-1", k=3)
    engine.graph.catalogue.put([Item(first.item_id, available=False), Item("not in the graph", available=False)])
    (answer,) = engine.recommend(["user-1"], k=50, filters=Filters(exclude=[second.item_id, "unheard of"]))
    assert not {first.item_id, second.item_id} & {item.item_id for item in answer.items}
    assert answer.items[0].item_id == third.item_id
    engine.graph.catalogue.put([Item(first.item_id, title="back again")])
    assert top(engine, "user-1")[0].title == "back again"


def test_items_the_user_has_met_can_be_hidden() -> None:
    engine = fed(LOG)
    met = {one.item_id for _, one in LOG if one.user_id == "user-1"}
    (answer,) = engine.recommend(["user-1"], k=50, filters=Filters(hide_seen=True))
    listed = {item.item_id for item in answer.items}
    assert listed
    assert not listed & met


def test_impressions_change_nothing_at_all() -> None:
    engine = fed(LOG)
    before = engine.digest()
    result = engine.step([event(64, "new user", "new item", EventType.IMPRESSION)])
    assert result.events == 0
    assert engine.digest() == before


def test_targets_are_ranked_and_others_are_not() -> None:
    engine = fed(LOG)
    kinds = [EventType.PURCHASE, EventType.DISLIKE, EventType.REMOVE, EventType.VIEW]
    result = engine.step([event(64 + n, f"user-{n}", "item-3", kind) for n, kind in enumerate(kinds)])
    for ranks in result.ranks.values():
        assert (ranks == ranks).tolist() == [True, False, False, True]
        assert 1 <= ranks[0] <= 12
    assert set(result.ranks) == {"evergraph", "popularity", "decayed_popularity"}


def test_an_item_nobody_has_met_cannot_be_ranked() -> None:
    result = fed(LOG).step([event(64, "user-1", "brand new"), event(65, "user-2", "item-3")])
    for ranks in result.ranks.values():
        assert ranks[0] == float("inf")
        assert ranks[1] <= 12


def test_touched_users_come_once_in_order_of_their_last_event() -> None:
    users = ["ann", "bob", "ann", "eve", "bob"]
    result = build_engine(SMALL).step([event(seq, user, "tea") for seq, user in enumerate(users)])
    assert result.users == ["ann", "eve", "bob"]


def test_an_unknown_source_to_leave_out_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no source is called horoscope; use one of: graph"):
        build_engine(SystemConfig(without=("horoscope",)))


@pytest.mark.parametrize("name", ["graph", "transitions", "history", "popularity"])
def test_the_system_works_without_any_one_source(name: str) -> None:
    engine = fed(LOG, config=SystemConfig(tgn=SMALL.tgn, without=(name,)))
    assert top(engine, "user-1")
    assert all(item.source != name for item in top(engine, "user-1"))
