"""Whole lists of the whole system: filtered and still full, varied where asked, with one place to explore."""

from __future__ import annotations

import msgspec
import pytest
from unit.dyngraph.small_logs import SMALL, event, fed, feed, random_log

from dyngraph.engine import Engine
from dyngraph.events import EventType, Item
from dyngraph.lists import Filters, RankedItem
from models.exploration import ExplorationConfig
from models.system import SystemConfig, build_engine

LOG = random_log(400, users=12, items=120, seed=3)
EXPLORING = ExplorationConfig(slots=1, arms=30, most_events=6)


def with_settings(**settings: object) -> SystemConfig:
    return msgspec.structs.replace(SMALL, **settings)


def described(engine: Engine) -> None:
    """Item n in category ``c<n mod 10>``, every fourth of brand Fizz."""
    engine.graph.catalogue.put(
        Item(f"item-{n}", brand="Fizz" if n % 4 == 0 else None, categories=(f"c{n % 10}",)) for n in range(120)
    )


def asked(engine: Engine, user: str, k: int = 10, **filters: object) -> list[RankedItem]:
    (made,) = engine.recommend([user], k=k, filters=Filters(**filters))  # type: ignore[arg-type]
    return made.items


@pytest.mark.parametrize("user", ["user-1", "stranger"])
@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"categories": ["c7"]}, lambda n: n % 10 == 7),
        ({"categories": ["c1", "c4"], "brands": ["Fizz"]}, lambda n: n % 10 in (1, 4) and n % 4 == 0),
        ({"without_categories": ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"]}, lambda n: n % 10 == 9),
    ],
)
def test_a_filtered_list_is_as_long_as_the_filter_allows(user: str, filters: dict[str, object], fits: object) -> None:
    assert callable(fits)
    engine = fed(LOG)
    described(engine)
    known = {one.item_id for _, one in LOG}
    fitting = {name for name in known if fits(int(name.partition("-")[2]))}
    listed = [item.item_id for item in asked(engine, user, **filters)]
    assert set(listed) <= fitting
    assert len(listed) == len(set(listed)) == min(10, len(fitting))
    assert all(item.reasons or item.score == 0 for item in asked(engine, user, **filters)[:1])


def test_bought_items_can_be_hidden_while_viewed_ones_stay() -> None:
    engine = build_engine(SMALL)
    log = random_log(200, users=5, items=20, seed=1, kinds=[EventType.VIEW, EventType.PURCHASE])
    feed(engine, log)
    own = [one for _, one in log if one.user_id == "user-1"]
    bought = {one.item_id for one in own if one.event_type is EventType.PURCHASE}
    viewed = {one.item_id for one in own} - bought
    listed = {item.item_id for item in asked(engine, "user-1", k=20, hide_after=[EventType.PURCHASE])}
    assert bought
    assert viewed
    assert listed == {one.item_id for _, one in log} - bought
    assert not viewed & {item.item_id for item in asked(engine, "user-1", k=20, hide_seen=True)}


def test_a_withdrawn_item_is_never_listed_and_one_out_of_stock_where_asked_for() -> None:
    engine = fed(LOG)
    first, second = asked(engine, "user-1", k=2)
    engine.graph.catalogue.put(
        [Item(first.item_id, available=False), Item(second.item_id, available=False, withdrawn=True)]
    )
    assert not {first.item_id, second.item_id} & {item.item_id for item in asked(engine, "user-1", k=50)}
    wide = [item.item_id for item in asked(engine, "user-1", k=50, available_only=False)]
    assert wide[0] == first.item_id
    assert second.item_id not in wide


def test_diversity_changes_places_and_nothing_that_is_said_of_an_item() -> None:
    plain, varied = fed(LOG), fed(LOG, config=with_settings(diversity=0.6))
    described(plain)
    described(varied)
    whole = {item.item_id: item for item in asked(plain, "user-1", k=40)}
    ordinary, other = asked(plain, "user-1"), asked(varied, "user-1")
    assert len(other) == 10
    assert [item.rank for item in other] == list(range(1, 11))
    assert other[0] == ordinary[0]

    def categories(items: list[RankedItem]) -> int:
        return len({int(item.item_id.partition("-")[2]) % 10 for item in items})

    assert categories(other) > categories(ordinary)
    for item in other:
        twin = whole[item.item_id]
        assert (item.score, item.source, item.reasons) == (twin.score, twin.source, twin.reasons)


def test_without_diversity_and_exploration_a_list_falls_in_score_and_tells_no_chance() -> None:
    items = asked(fed(LOG), "user-1")
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
    assert {item.probability for item in items} == {None}


def test_one_place_is_explored_and_says_with_which_chance() -> None:
    engine = fed(LOG, config=with_settings(exploration=EXPLORING))
    before = engine.digest()
    items = asked(engine, "user-1")
    assert asked(engine, "user-1") == items, "asking again gives the same list"
    assert engine.digest() == before
    *others, explored = items
    assert explored.probability is not None
    assert 0 < explored.probability <= 1
    assert (explored.source, explored.rank) == ("exploration", 10)
    assert "find out" in explored.reasons[0]
    assert {item.probability for item in others} == {None}
    met = {one.item_id for _, one in LOG if one.user_id == "user-1"}
    assert explored.item_id not in met
    everything = {item.item_id: item.score for item in asked(engine, "user-1", k=200)}
    assert explored.score == everything[explored.item_id], "the score is the ranker's own"


def test_the_explored_place_obeys_the_filters() -> None:
    engine = fed(LOG, config=with_settings(exploration=EXPLORING))
    described(engine)
    for user in ("user-1", "user-2", "user-3", "stranger"):
        for item in asked(engine, user, k=5, categories=["c1", "c2", "c3"]):
            assert int(item.item_id.partition("-")[2]) % 10 in (1, 2, 3)


def test_users_differ_in_what_they_explore_and_a_loaded_engine_gives_the_same_lists() -> None:
    config = with_settings(exploration=msgspec.structs.replace(EXPLORING, epsilon=1.0, place=3))
    engine = fed(LOG, config=config)
    users = [f"user-{n}" for n in range(12)]
    lists = engine.recommend(users)
    places = [next(item for item in made.items if item.probability) for made in lists]
    assert {item.rank for item in places} == {3}
    assert len({item.item_id for item in places}) > 4
    again = build_engine(config)
    again.load_state(engine.state())
    assert again.recommend(users) == lists
    assert again.digest() == engine.digest()


def test_an_offer_that_was_taken_is_known_to_the_state_and_an_erased_user_is_not() -> None:
    engine = fed(LOG, config=with_settings(exploration=EXPLORING))
    explored = asked(engine, "user-1")[-1]
    hits = int(engine.state()["explorer.hits"].sum())
    engine.step([event(500, "user-1", explored.item_id, ts=engine.graph.horizon.ts + 1_000)])
    assert int(engine.state()["explorer.hits"].sum()) == hits + 1
    row = int(engine.graph.user_ids.find(["user-1"])[0])
    assert row in engine.state()["explorer.waiting"][:, 0].tolist()
    engine.erase_user("user-1")
    state = engine.state()
    assert row not in state["explorer.waiting"][:, 0].tolist()
    assert row not in (state["met.keys"] >> 32).tolist()
