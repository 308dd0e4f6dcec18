"""A reason names what really moved the score: without the named cause the item scores lower."""

from __future__ import annotations

import re

import pytest
from unit.dyngraph.small_logs import SMALL, event, fed, feed, random_log, scores, top

from dyngraph.engine import Engine
from dyngraph.events import Item
from dyngraph.protocols import Source
from models.system import SystemConfig

LOG = random_log(120, users=8, items=14, seed=33)
USERS = [f"user-{number}" for number in range(8)]


def only(*names: str) -> SystemConfig:
    """A system of these sources alone, so that what they say is not crowded out by others."""
    every = ("graph", "transitions", "newcomers", "history", "popularity")
    return SystemConfig(tgn=SMALL.tgn, without=tuple(name for name in every if name not in names))


def source(engine: Engine, name: str) -> Source:
    return next(source for source in engine.sources if source.name == name)


def listed(pattern: str, config: SystemConfig) -> list[tuple[str, str, str]]:
    """User, item and what the reason names, for each place of each list with such a reason."""
    engine = fed(LOG, 16, config=config)
    found = []
    for user in USERS:
        for item in top(engine, user):
            for reason in item.reasons:
                if match := re.match(pattern, reason):
                    found.append((user, item.item_id, match[1] if match.groups() else reason))
    return found


def without_pair(engine: Engine, before: str, after: str, column: str) -> None:
    part = source(engine, "transitions")
    state = {name: value.clone() for name, value in part.state().items()}
    row, key = (int(engine.graph.item_ids.find([name])[0]) for name in (before, after))
    slot = state["pairs.keys"][row] == key
    assert slot.any(), f"the reason names {before}, but nothing was counted between it and {after}"
    state[f"pairs.{column}"][row, slot] = 0
    part.load_state(state)


@pytest.mark.parametrize(("phrase", "column"), [("often goes with", "together"), ("often follows", "follows")])
def test_without_the_named_recent_item_the_score_falls(phrase: str, column: str) -> None:
    config = only("transitions", "popularity")
    causes = listed(f"{phrase} (.*)", config)
    assert causes
    for user, item, named in causes[:12]:
        engine = fed(LOG, 16, config=config)
        before = scores(engine, user)[item]
        without_pair(engine, named, item, column)
        assert scores(engine, user)[item] < before, f"{user}: {item} because of {named}"


def test_without_the_users_own_past_the_score_falls() -> None:
    config = only("history", "popularity")
    causes = listed(r"you had it .*", config)
    assert causes
    for user, item, _ in causes[:12]:
        engine = fed(LOG, 16, config=config)
        before = scores(engine, user)[item]
        part = source(engine, "history")
        state = {name: value.clone() for name, value in part.state().items()}
        row, key = int(engine.graph.user_ids.find([user])[0]), int(engine.graph.item_ids.find([item])[0])
        slot = state["slots.keys"][row] == key
        for name in ("last_seq", "events", "decayed"):
            state[f"slots.{name}"][row, slot] = 0
        part.load_state(state)
        assert scores(engine, user)[item] < before


def test_without_its_popularity_the_score_falls() -> None:
    config = only("history", "popularity")
    causes = listed(r"popular .*|taken by many.*", config)
    assert causes
    for user, item, _ in causes[:12]:
        engine = fed(LOG, 16, config=config)
        before = scores(engine, user)[item]
        part = source(engine, "popularity")
        state = {name: value.clone() for name, value in part.state().items()}
        for name in ["count", *(name for name in state if name.startswith("sum."))]:
            state[name][int(engine.graph.item_ids.find([item])[0])] = 0
        part.load_state(state)
        assert scores(engine, user)[item] < before


def test_without_others_who_began_with_it_the_score_falls() -> None:
    config = only("newcomers", "popularity")
    causes = listed(r"many began with it.*|others have just begun.*", config)
    assert causes
    for user, item, _ in causes[:12]:
        engine = fed(LOG, 16, config=config)
        before = scores(engine, user)[item]
        part = source(engine, "newcomers")
        state = {name: value.clone() for name, value in part.state().items()}
        for name in [name for name in state if name.startswith("sum.")]:
            state[name][int(engine.graph.item_ids.find([item])[0])] = 0
        part.load_state(state)
        assert scores(engine, user)[item] < before


def test_every_listed_item_has_a_reason() -> None:
    engine = fed(LOG, 16)
    for user in (*USERS, "nobody"):
        assert all(item.reasons for item in top(engine, user))


def test_no_reason_speaks_of_a_past_that_an_unknown_user_does_not_have() -> None:
    engine = fed(LOG, 16)
    said = " ".join(reason for item in top(engine, "nobody") for reason in item.reasons)
    assert "you" not in said
    assert "often" not in said


def test_reasons_name_titles_where_the_catalogue_has_them() -> None:
    engine = fed([], config=only("transitions"))
    feed(engine, [event(seq, f"u{seq // 2}", ("tea", "milk")[seq % 2]) for seq in range(40)], 2)
    engine.step([event(40, "ann", "tea")])
    engine.graph.catalogue.put([Item("tea", title="Green tea")])
    milk = next(item for item in top(engine, "ann") if item.item_id == "milk")
    assert any("Green tea" in reason for reason in milk.reasons), milk.reasons


def test_without_the_stronger_of_two_causes_the_score_of_the_best_item_falls_too() -> None:
    pairs = [(f"p{n}", "tea") for n in range(10)] + [(f"q{n}", "rum") for n in range(10)]
    log = [
        event(2 * n + place, user, item)
        for n, (user, first) in enumerate(pairs)
        for place, item in ((0, first), (1, "milk"))
    ]
    log += [event(40 + n, f"s{n}", "soap") for n in range(20)]
    log += [event(60 + place, "ann", item) for place, item in enumerate(("rum", "tea", "soap"))]
    engine = fed(log, 2, config=only("transitions"))
    milk = top(engine, "ann")[0]
    causes = {"often goes with tea": "together", "often follows tea": "follows"}
    assert milk.item_id == "milk"
    assert len(milk.reasons) == 1
    without_pair(engine, "tea", "milk", causes[milk.reasons[0]])
    assert scores(engine, "ann")["milk"] < milk.score
