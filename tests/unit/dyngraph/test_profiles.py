"""Profiles by user: the last three versions, and of those only what was made before the query's moment."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dyngraph.graph import DynamicGraph
from dyngraph.ids import IdTable
from dyngraph.profiles import FACETS, VERSIONS, ProfileStore, UserProfile
from dyngraph.state import digest

WIDTH = 3
NAMES = [f"user-{number}" for number in range(5)]
TIMES = st.integers(0, 12)


def profile(user: str, ts: int, **fields: Any) -> UserProfile:
    """A version whose numbers and words tell which it is."""
    numbers = np.arange(4 * WIDTH, dtype="<f2") + ts
    facets = tuple((f"{facet} at {ts}",) for facet in FACETS)
    given: dict[str, Any] = {"offset": ts, "events": ts + 1, "facets": facets, "vectors": numbers.tobytes()}
    return UserProfile(user, ts, producer="statistical", **(given | fields))


def store_of(*names: str) -> ProfileStore:
    ids = IdTable()
    ids.add(names)
    return ProfileStore(ids, WIDTH)


def ask(store: ProfileStore, row: int, ts: int) -> tuple[list[bool], int, int]:
    found = store.counting(torch.tensor([row]), torch.tensor([ts]))
    return found.valid[0].tolist(), int(found.ts[0]), int(found.events[0])


def test_a_version_counts_only_after_its_horizon() -> None:
    store = store_of("ann")
    for ts in (10, 20, 30):
        assert store.put(profile("ann", ts))
    assert ask(store, 1, 10) == ([False] * 3, -1, 0), "at the very moment of the horizon it does not count"
    assert ask(store, 1, 11) == ([True, False, False], 10, 11)
    assert ask(store, 1, 20) == ([True, False, False], 10, 11)
    assert ask(store, 1, 30) == ([True, True, False], 20, 21)
    assert ask(store, 1, 31) == ([True] * 3, 30, 31)


def test_a_late_query_sees_the_version_that_counted_then_and_none_older_than_are_kept() -> None:
    store = store_of("ann")
    for ts in (10, 20, 30, 40):
        store.put(profile("ann", ts))
    assert ask(store, 1, 25) == ([True, False, False], 20, 21)
    assert ask(store, 1, 15) == ([False] * 3, -1, 0), "the version of then is gone: better none than a later one"
    before = store.counting(torch.tensor([1]), torch.tensor([35])).vectors
    store.put(profile("ann", 36))
    assert store.counting(torch.tensor([1]), torch.tensor([35])).vectors.equal(before)


def test_what_does_not_count_leaves_no_number_behind() -> None:
    store = store_of("ann")
    store.put(profile("ann", 10))
    assert not store.counting(torch.tensor([1, 0, 99]), torch.tensor([10, 100, 100])).vectors.any()


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (profile("eve", 50), "stranger"),
        (profile("", 50), "stranger"),
        (profile("ann", 40), "known"),
        (profile("ann", 40, events=7), "stale"),
        (profile("ann", 39), "stale"),
        (profile("ann", -1), "unfit"),
        (profile("ann", 50, vectors=bytes(2 * 4 * WIDTH - 2)), "unfit"),
        (profile("ann", 50, vectors=np.full(4 * WIDTH, np.inf, "<f2").tobytes()), "unfit"),
        (profile("ann", 50, vectors=np.full(4 * WIDTH, np.nan, "<f2").tobytes()), "unfit"),
        (profile("ann", 50, facets=(("one",),)), "unfit"),
    ],
)
def test_what_cannot_be_taken_is_counted_by_its_reason_and_changes_nothing(offered: UserProfile, reason: str) -> None:
    store = store_of("ann")
    store.put(profile("ann", 40))
    before = digest(store.state())
    assert not store.put(offered)
    assert store.refused == {reason: 1}
    assert digest(store.state()) == before


def test_a_graph_without_room_for_profiles_takes_none_and_keeps_its_state_as_it_was() -> None:
    graph = DynamicGraph(2, 2)
    graph.user_ids.add(["ann"])
    assert not graph.profiles.put(profile("ann", 1, vectors=b""))
    assert graph.profiles.counting(torch.tensor([0, 1]), torch.tensor([5, 5])).vectors.shape == (2, VERSIONS, 4, 0)
    assert not [name for name in graph.state() if name.startswith(("profiles", "texts"))]
    with_room = DynamicGraph(2, 2, profile_dim=WIDTH, text_dim=WIDTH)
    assert {name.split(".")[0] for name in with_room.state()} - {name.split(".")[0] for name in graph.state()} == {
        "profiles",
        "texts",
    }


def test_a_forgotten_user_of_the_graph_has_no_profile_and_no_word_of_it_stays() -> None:
    graph = DynamicGraph(2, 2, profile_dim=WIDTH)
    graph.user_ids.add(["ann", "bob"])
    graph.users.grow(3)
    for name in ("ann", "bob"):
        graph.profiles.put(profile(name, 7, facets=((f"secret of {name}",),) * 4))
    graph.forget_user(1)
    assert graph.profiles.newest(1) is None
    bob = graph.profiles.newest(2)
    assert bob is not None
    assert bob.facets[0] == ("secret of bob",)
    assert b"secret of ann" not in graph.profiles.state()["words"].numpy().tobytes()


class ProfilesOfUsers(RuleBasedStateMachine):
    """Versions come in any order, users appear and are forgotten, states are saved and loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = IdTable()
        self.store = ProfileStore(self.ids, WIDTH)
        self.kept: dict[int, list[UserProfile]] = {}

    @rule(name=st.sampled_from(NAMES))
    def a_user_appears(self, name: str) -> None:
        self.ids.add([name])

    @rule(name=st.sampled_from(NAMES), ts=TIMES, events=st.integers(0, 5))
    def a_version_comes(self, name: str, ts: int, events: int) -> None:
        offered = profile(name, ts, events=events)
        row = int(self.ids.find([name])[0])
        mine = self.kept.get(row, [])
        fits = row > 0 and all(ts > one.ts for one in mine)
        assert self.store.put(offered) == fits
        if fits:
            self.kept[row] = [*mine, offered][-VERSIONS:]

    @rule(name=st.sampled_from(NAMES))
    def a_user_is_forgotten(self, name: str) -> None:
        row = int(self.ids.find([name])[0])
        self.store.forget(row)
        if row:
            self.ids.forget(row)
            self.kept.pop(row, None)

    @rule()
    def all_is_saved_and_loaded_elsewhere(self) -> None:
        state = {name: value.clone() for name, value in self.store.state().items()}
        self.store = ProfileStore(self.ids, WIDTH)
        self.store.load_state(state)
        assert digest(self.store.state()) == digest(state)

    @invariant()
    def it_answers_as_a_plain_dictionary_does(self) -> None:
        assert len(self.store) == len(self.kept)
        rows, at = np.meshgrid(np.arange(len(self.ids) + 2), np.arange(14))
        found = self.store.counting(torch.from_numpy(rows.ravel()), torch.from_numpy(at.ravel()))
        for place, (row, ts) in enumerate(zip(rows.ravel().tolist(), at.ravel().tolist(), strict=True)):
            counting = [one for one in self.kept.get(row, []) if one.ts < ts]
            expected = torch.zeros(VERSIONS, 4, WIDTH)
            for number, one in enumerate(counting):
                numbers = np.frombuffer(one.vectors, "<f2").astype(np.float32)
                expected[number] = torch.from_numpy(numbers).reshape(4, WIDTH)
            assert found.vectors[place].equal(expected)
            assert found.valid[place].tolist() == [number < len(counting) for number in range(VERSIONS)]
            newest = counting[-1] if counting else None
            assert int(found.ts[place]) == (newest.ts if newest else -1)
            assert int(found.events[place]) == (newest.events if newest else 0)
            assert self.store.newest(row, ts) == newest
        for row, mine in self.kept.items():
            assert self.store.newest(row) == mine[-1]
            assert all(self.store.judge(one) == "known" for one in mine)


TestProfilesOfUsers = ProfilesOfUsers.TestCase
TestProfilesOfUsers.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def test_twenty_thousand_users_are_saved_in_a_second_and_asked_for_in_a_millisecond() -> None:
    ids = IdTable()
    names = [f"user-{number}" for number in range(20_000)]
    ids.add(names)
    store = ProfileStore(ids, 64)
    vectors = np.ones((4, 64), "<f2").tobytes()
    facets = (("young parents",), ("gardening", "tea"), ("Garden > Tools",), ("Fizz",))
    for name in names:
        store.put(UserProfile(name, 5, -1, 9, facets, vectors, "statistical"))
    begun = time.process_time()
    state = store.state()
    again = ProfileStore(ids, 64)
    again.load_state(state)
    assert time.process_time() - begun < 2
    users, ts = torch.randint(1, len(ids), (64,)), torch.full((64,), 6)
    seconds = []
    for _ in range(10):
        begun = time.process_time()
        assert again.counting(users, ts).valid[:, 0].all()
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.005  # 0.3 ms on an idle core


def test_horizons_are_those_of_the_newest_versions() -> None:
    ids = IdTable()
    ids.add(["ann", "bob", "eve"])
    store = ProfileStore(ids, WIDTH)
    assert store.horizons(np.array([1, 9])).ts.tolist() == [-1, -1]
    for ts in (10, 30, 70, 90):
        assert store.put(profile("bob", ts))
    found = store.horizons(np.array([2, 0, 1, 3, 40]))
    assert found.ts.tolist() == [90, -1, -1, -1, -1]
    newest = store.newest(2)
    assert newest is not None and found.events.tolist() == [newest.events, 0, 0, 0, 0]
