"""Reasoning graphs by user: what is no graph is refused by its reason, and none counts at its own moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from dyngraph.batch import Columns
from dyngraph.events import EventType, Interaction
from dyngraph.graph import DynamicGraph
from dyngraph.ids import IdTable
from dyngraph.met import MetItems
from dyngraph.nodes import NodeStore
from dyngraph.reasoning import NO_STEP, Imagined, ReasoningGraph, Step, chains
from dyngraph.reasoning_store import MOST_CONCEPTS, MOST_IMAGINED, MOST_STEPS, ReasoningStore, faults
from dyngraph.state import digest

WIDTH = 3


def step(item: str = "tea", came_from: int = NO_STEP, concept: str = "drinks", ts: int = 1) -> Step:
    return Step(item, ts, came_from, "follows", concept, "why not", 70.0)


def imagined(item: str = "milk", at: int = 0, score: float = 60.0, similarity: float = 1.0) -> Imagined:
    return Imagined(at, "something like milk", item, similarity, "follows", "goes well", score)


def graph(user: str, ts: int, **fields: Any) -> ReasoningGraph:
    vectors = np.full((1, WIDTH), ts % 100, "<f2").tobytes()
    given: dict[str, Any] = {
        "offset": ts,
        "events": ts + 1,
        "steps": (step(), step("jam", 0)),
        "imagined": (imagined(),),
        "concepts": ("drinks",),
        "vectors": vectors,
        "producer": "statistical",
    }
    return ReasoningGraph(user, ts, **(given | fields))


def store_of(*names: str) -> ReasoningStore:
    """Of users who had 1,000 events each, the last at 1,000."""
    ids, users = IdTable(), NodeStore(1, 1)
    users.grow(int(ids.add(names).max()) + 1)
    users.last_ts[1:] = users.events[1:] = 1_000
    return ReasoningStore(ids, IdTable(), users, WIDTH)


def counting(store: ReasoningStore, rows: Sequence[int], ts: Sequence[int]) -> list[int | None]:
    found = store.counting(torch.tensor(rows), torch.tensor(ts))
    return [one.ts if one is not None else None for one in found]


def test_only_a_horizon_strictly_before_the_question_counts() -> None:
    store = store_of("ann", "bob")
    for ts in (10, 20):
        assert store.put(graph("ann", ts))
    assert counting(store, [1] * 5, [9, 10, 11, 20, 21]) == [None, None, 10, 10, 20]
    assert counting(store, [0, 2, 99], [50] * 3) == [None] * 3
    assert store.found(torch.tensor([1, 1]), torch.tensor([20, 21])).ts.tolist() == [10, 20]


def test_between_two_horizons_the_version_of_then_counts_and_none_older_than_are_kept() -> None:
    store = store_of("ann")
    for ts in (10, 20, 30, 40):
        store.put(graph("ann", ts))
    assert counting(store, [1] * 4, [15, 25, 35, 45]) == [None, 20, 30, 40]
    assert store.horizons(np.array([1, 0, 7])).ts.tolist() == [40, -1, -1]
    assert store.horizons(np.array([1])).events.tolist() == [41]


TOO_MANY = MOST_STEPS + 1
UNFIT = {
    "circle": graph("ann", 50, steps=(step(came_from=1), step("jam", 0))),
    "self": graph("ann", 50, steps=(step(came_from=0),)),
    "nowhere": graph("ann", 50, steps=(step(came_from=-2),)),
    "no item": graph("ann", 50, steps=(step(""),)),
    "after the horizon": graph("ann", 50, steps=(step(ts=51),)),
    "before all time": graph("ann", 50, steps=(step(ts=-1),)),
    "score": graph("ann", 50, steps=(msgspec.structs.replace(step(), score=100.5),)),
    "no number": graph("ann", 50, steps=(msgspec.structs.replace(step(), score=float("nan")),)),
    "concept of nobody": graph("ann", 50, steps=(step(concept="food"),)),
    "imagined behind no step": graph("ann", 50, imagined=(imagined(at=2),)),
    "imagined behind nothing": graph("ann", 50, imagined=(imagined(at=-1),)),
    "imagined score": graph("ann", 50, imagined=(imagined(score=-1.0),)),
    "similarity": graph("ann", 50, imagined=(imagined(similarity=float("nan")),)),
    "steps": graph("ann", 50, steps=(step(),) * TOO_MANY),
    "imagined": graph("ann", 50, imagined=(imagined(),) * (MOST_IMAGINED + 1)),
    "concepts": graph("ann", 50, concepts=("drinks",) * (MOST_CONCEPTS + 1), vectors=bytes(2 * WIDTH * 129)),
    "negative horizon": graph("ann", -1, steps=(), imagined=()),
    "negative events": graph("ann", 50, events=-1),
    "concept without a vector": graph("ann", 50, vectors=b""),
    "vectors too many": graph("ann", 50, vectors=bytes(4 * WIDTH)),
    "infinite vector": graph("ann", 50, vectors=np.full((1, WIDTH), np.inf, "<f2").tobytes()),
}


@pytest.mark.parametrize("why", UNFIT)
def test_what_is_no_graph_is_unfit(why: str) -> None:
    store = store_of("ann")
    store.put(graph("ann", 40))
    before = digest(store.state())
    assert not store.put(UNFIT[why])
    assert store.refused == {"unfit": 1}
    assert digest(store.state()) == before


def test_a_graph_as_large_as_is_allowed_fits() -> None:
    store = store_of("ann")
    concepts = tuple(f"concept {n}" for n in range(MOST_CONCEPTS))
    vectors = np.ones((MOST_CONCEPTS, WIDTH), "<f2").tobytes()
    steps = tuple(step(came_from=n - 1, concept=concepts[n], ts=n) for n in range(MOST_STEPS))
    large = graph("ann", 64, steps=steps, imagined=(imagined(),) * MOST_IMAGINED, concepts=concepts, vectors=vectors)
    assert list(faults(large)) == []
    assert store.put(large)
    assert store.newest(1) == large


def test_a_graph_without_anything_in_it_fits() -> None:
    store = store_of("ann")
    assert store.put(graph("ann", 5, steps=(), imagined=(), concepts=(), vectors=b""))


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (graph("eve", 50), "stranger"),
        (graph("", 50), "stranger"),
        (graph("ann", 40), "known"),
        (graph("ann", 40, events=7), "stale"),
        (graph("ann", 39), "stale"),
    ],
)
def test_what_cannot_be_taken_now_is_counted_by_its_reason(offered: ReasoningGraph, reason: str) -> None:
    store = store_of("ann")
    store.put(graph("ann", 40))
    before = digest(store.state())
    assert store.judge(offered) == reason
    assert not store.put(offered)
    assert store.refused == {reason: 1}
    assert digest(store.state()) == before


def test_faults_name_the_step_and_what_is_wrong_with_it() -> None:
    circle = graph("ann", 50, steps=(step(), step("jam", 2), step("oil", 1)), imagined=(imagined(at=9),))
    assert list(faults(circle)) == [
        "step 1 goes on from step 2, which is none before it",
        "imagined item 0 goes on from step 9, which does not exist",
    ]


def test_saved_and_loaded_it_answers_alike_and_takes_the_same() -> None:
    store = store_of("ann", "bob", "eve")
    for ts, name in enumerate(("ann", "bob", "ann", "eve", "ann", "ann"), start=1):
        store.put(graph(name, ts))
    store.forget(2)
    again = store_of("ann", "bob", "eve")
    again.load_state({name: value.clone() for name, value in store.state().items()})
    assert digest(again.state()) == digest(store.state())
    for one in (store, again):
        assert one.put(graph("bob", 9))
        assert not one.put(graph("ann", 6))
    assert digest(again.state()) == digest(store.state())
    rows, moments = [1, 2, 3] * 12, [moment for moment in range(12) for _ in range(3)]
    assert counting(again, rows, moments) == counting(store, rows, moments)
    assert again.newest(3) == graph("eve", 4)


def test_of_a_forgotten_user_no_word_stays_and_others_keep_theirs() -> None:
    whole = DynamicGraph(2, 2, concept_dim=WIDTH)
    whole.user_ids.add(["ann", "bob"])
    whole.users.grow(3)
    whole.users.last_ts[1:] = whole.users.events[1:] = 8
    for name in ("ann", "bob"):
        secret = graph(name, 7, steps=(step(f"secret of {name}"),))
        assert whole.reasoning.put(secret)
    whole.forget_user(1)
    assert whole.reasoning.newest(1) is None
    assert len(whole.reasoning) == 1
    bob = whole.reasoning.newest(2)
    assert bob is not None and bob.steps[0].item_id == "secret of bob"
    assert b"secret of ann" not in whole.reasoning.state()["words"].numpy().tobytes()


def test_a_graph_without_room_takes_none_and_its_state_is_as_it_was() -> None:
    without, room = DynamicGraph(2, 2), DynamicGraph(2, 2, concept_dim=WIDTH)
    without.user_ids.add(["ann"])
    assert not without.reasoning.put(graph("ann", 1, concepts=(), vectors=b"", steps=(), imagined=()))
    assert {name.split(".")[0] for name in room.state().keys() - without.state().keys()} == {"reasoning"}


def test_chains_run_from_an_opening_to_an_end() -> None:
    steps = (step("a"), step("b", 0), step("c"), step("d", 1), step("e", 0))
    assert chains(graph("ann", 5, steps=steps)) == [[2], [0, 1, 3], [0, 4]]


@pytest.mark.parametrize(("ts", "events", "reason"), [(1_000, 1_000, ""), (1_001, 5, "ahead"), (5, 1_001, "ahead")])
def test_a_horizon_that_the_user_has_not_reached_is_none(ts: int, events: int, reason: str) -> None:
    store = store_of("ann")
    assert store.judge(graph("ann", ts, events=events)) == reason
    store.put(graph("ann", ts, events=events))
    assert store.put(graph("ann", 900)) == (reason != ""), "what is ahead does not stand in the way of what is not"


def test_a_chain_is_about_what_its_user_met() -> None:
    made = DynamicGraph(2, 2, concept_dim=WIDTH)
    met = MetItems()
    events = [
        (0, Interaction("e0", "ann", "tea", EventType.CLICK, 1)),
        (1, Interaction("e1", "bob", "jam", EventType.CLICK, 2)),
    ]
    batch = made.admit(Columns(events))
    met.observe(made, batch)
    made.users.last_ts[1:] = made.users.events[1:] = 10
    theirs = {"ann": (step("tea"),), "bob": (step("jam"),)}
    others = {"jam": (step("jam"),), "unheard of": (step("tea"), step("coffee", 0))}
    assert made.reasoning.judge(graph("ann", 5, steps=others["jam"])) == "", "nobody tells what was met"
    made.reasoning.met = met.kinds
    assert [made.reasoning.judge(graph(user, 5, steps=steps)) for user, steps in theirs.items()] == ["", ""]
    assert [made.reasoning.judge(graph("ann", 5, steps=steps)) for steps in others.values()] == ["untouched"] * 2
    assert made.reasoning.judge(graph("ann", 5, steps=(), imagined=())) == ""
