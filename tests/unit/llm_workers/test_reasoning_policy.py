"""Whose reasoning graph is asked for, and with what: its jobs carry the graph to go on from, and what goes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
import pytest
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, START_MS, Event, event, random_log
from unit.models.living_parts import WIDTH, graph_of, living, related, relation_source
from unit.models.source_rig import SourceRig

from dyngraph.engine import Engine, StepResult
from dyngraph.events import EventType
from dyngraph.graph import DynamicGraph
from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Refresh, Wanted
from dyngraph.state import digest
from llm_workers.refresh import RefreshConfig, RefreshPolicy
from llm_workers.refresh.config import ReasoningRefreshConfig
from llm_workers.refresh.past import AllPartners
from llm_workers.refresh.policy import policy_over
from llm_workers.refresh.several import Policies
from models.sources.history import HistorySource
from models.sources.transitions import TransitionSource
from models.system import build_engine

RICH = RefreshConfig(min_events=2, new_events=1, growth=0, jobs_per_1000=1_000, drift=2.0)
"""A job per event from the second on."""


class ReasoningRig(SourceRig):
    """Steps a graph with history and transitions, and then asks policies, as a shard does."""

    def __init__(self) -> None:
        self.history = HistorySource()
        self.transitions = TransitionSource(self.history)
        super().__init__(self.transitions, after=[self.history])
        self.graph = DynamicGraph(2, 10, profile_dim=WIDTH, text_dim=WIDTH, concept_dim=WIDTH)

    def policy(self, config: RefreshConfig = RICH) -> RefreshPolicy:
        """For reasoning, over the rig's history and transitions."""
        return RefreshPolicy(config, self.history, "reasoning", self.transitions)

    def taken(self, events: Sequence[Event]) -> StepResult:
        """Let the graph take a step, in which every item stood first."""
        self.step(events)
        users = [one.user_id for _, one in sorted(events, key=lambda event: (event[1].ts, event[0]))]
        return StepResult(len(users), self.graph.horizon, sorted(set(users)), users, {"evergraph": np.ones(len(users))})

    def asked(self, policy: Refresh, events: Sequence[Event]) -> list[Wanted]:
        """Take a step and ask."""
        return policy.after_step(cast(Engine, self), self.taken(events), self.graph.horizon.seq)

    def answer(self, wanted: Wanted) -> ReasoningGraph:
        """The graph that was asked for comes."""
        items = [item for item, _, _ in wanted.past]
        made = graph_of(wanted.user_id, wanted.ts, items, offset=wanted.offset, events=wanted.events)
        assert self.graph.reasoning.put(made)
        return made


def visits(user: str, items: Sequence[str], first: int = 0) -> list[Event]:
    return [event(first + place, user, item) for place, item in enumerate(items)]


def test_a_job_carries_what_goes_together_with_the_newest_items_as_of_its_horizon() -> None:
    rig = ReasoningRig()
    policy = rig.policy(msgspec.structs.replace(RICH, related_items=2, related=3, min_events=3))
    for user in range(3):
        rig.asked(policy, visits(f"user-{user}", ["tea", "milk"], first=10 * user))
    rig.asked(policy, visits("bob", ["tea", "jam"], first=50))
    (wanted,) = rig.asked(policy, visits("ann", ["bread", "tea", "jam"], first=100))
    assert wanted.kind == "reasoning"
    assert [item for item, _, _ in wanted.past] == ["bread", "tea", "jam"]
    assert {one.item_id for one in wanted.related} == {"tea", "jam"}, "of the two newest items"
    by_tea = {(one.other_id, one.relation): one.strength for one in wanted.related if one.item_id == "tea"}
    # Of the others 3 of 4 who had tea had milk, and all 3 of those; after 3 of 4 teas came milk, after one jam.
    assert by_tea["milk", "together"] == pytest.approx(3 / (4 * 3) ** 0.5, abs=1e-5)
    assert by_tea["milk", "follows"] == pytest.approx(3 / 4)
    assert by_tea["jam", "follows"] == pytest.approx(1 / 4)
    assert not {other for other, _ in by_tea} & {"bread"}, "which only the user took with it"
    assert {relation for _, relation in by_tea} == {"together", "follows"}
    rows = rig.graph.item_ids.find(["tea", "jam"]).tolist()
    expected = rig.transitions.partners(
        rows, 3, dict.fromkeys(rig.graph.item_ids.find(["bread", "tea", "jam"]).tolist(), 1.0)
    )
    assert [len(found) for found in expected] == [
        sum(one.item_id == item for one in wanted.related) for item in ("tea", "jam")
    ]


@pytest.mark.parametrize(
    ("others", "expected"), [([], set()), (["red", "blue"], {("red", "blue"), ("blue", "red")}), (["hose"], set())]
)
def test_what_only_the_user_did_is_no_evidence_for_the_user(others: list[str], expected: set[tuple[str, str]]) -> None:
    rig = ReasoningRig()
    policy = rig.policy(msgspec.structs.replace(RICH, min_events=3))
    if others:
        rig.asked(policy, visits("bob", others))
    (wanted,) = rig.asked(policy, visits("ann", ["red", "blue", "red", "hose", "blue", "tyre"], first=50))
    assert {(one.item_id, one.other_id) for one in wanted.related} == expected


def test_a_job_carries_the_graph_to_go_on_from() -> None:
    rig = ReasoningRig()
    policy = rig.policy()
    (first,) = rig.asked(policy, visits("ann", "ab"))
    assert first.previous is None
    made = rig.answer(first)
    (second,) = rig.asked(policy, visits("ann", "c", first=5))
    assert second.previous == made
    assert (second.events, second.reason) == (3, "1 new events")


def test_a_profile_job_carries_neither() -> None:
    rig = ReasoningRig()
    rig.graph.user_ids.add(["ann"])
    policy = RefreshPolicy(RICH, rig.history)
    (wanted,) = rig.asked(policy, visits("ann", "ab"))
    assert (wanted.kind, wanted.related, wanted.previous) == ("profile", (), None)


def test_horizons_are_those_of_graphs_and_not_of_profiles() -> None:
    rig = ReasoningRig()
    policy = rig.policy(msgspec.structs.replace(RICH, new_events=3))
    (wanted,) = rig.asked(policy, visits("ann", "ab"))
    rig.answer(wanted)
    vectors = np.ones((4, WIDTH), "<f2").tobytes()
    log = visits("ann", "cdefgh", first=2)
    for _, one in log:
        # Profiles that are as new as can be change nothing.
        rig.graph.profiles.put(UserProfile("ann", one.ts - 1, -1, 1, (("s",), (), (), ()), vectors, "statistical"))
    jobs = [[one.events for one in rig.asked(policy, [each])] for each in log]
    assert jobs == [[], [], [5], [], [], []], "asked for again after three events, and then waited for"


def test_a_user_has_one_job_until_the_graph_comes() -> None:
    rig = ReasoningRig()
    policy = rig.policy()
    log = visits("ann", [f"item-{n}" for n in range(30)])
    jobs = [one for each in log[:20] for one in rig.asked(policy, [each])]
    assert [one.events for one in jobs] == [2]
    rig.answer(jobs[0])
    assert [[one.events for one in rig.asked(policy, [each])] for each in log[20:23]] == [[21], [], []]


def test_but_for_the_budget_the_usual_settings_ask_after_each_event_and_carry_forty_items() -> None:
    rig = ReasoningRig()
    policy = rig.policy(msgspec.structs.replace(ReasoningRefreshConfig(), jobs_per_1000=1_000))
    asked, carried = [], 0
    for number, one in enumerate(visits("ann", [f"item-{n}" for n in range(60)]), start=1):
        for wanted in rig.asked(policy, [one]):
            asked.append(number)
            carried = len(wanted.past)
            rig.answer(wanted)
    assert asked == list(range(2, 61))
    assert carried == 40


def test_refused_items_and_the_item_itself_are_in_no_job() -> None:
    rig = ReasoningRig()
    policy = rig.policy()
    log = [*visits("ann", ["tea", "tea", "milk", "tea"]), event(9, "ann", "salt", EventType.DISLIKE)]
    (wanted,) = rig.asked(policy, log)
    assert [item for item, _, _ in wanted.past] == ["milk", "tea"]
    assert all(one.item_id != one.other_id and one.other_id != "salt" for one in wanted.related)


def both(rig: ReasoningRig, config: RefreshConfig = RICH) -> Policies:
    return Policies({"profile": RefreshPolicy(config, rig.history), "reasoning": rig.policy(config)})


def test_two_policies_ask_each_for_its_own_kind() -> None:
    rig = ReasoningRig()
    policies = both(rig)
    asked = rig.asked(policies, visits("ann", "ab"))
    assert [one.kind for one in asked] == ["profile", "reasoning"]
    rig.answer(asked[1])
    assert [one.kind for one in rig.asked(policies, visits("ann", "c", first=5))] == ["reasoning"]
    assert {name: figures["asked"] for name, figures in policies.figures().items()} == {"profile": 1, "reasoning": 2}


def test_policies_restored_ask_for_the_same() -> None:
    rig = ReasoningRig()
    poor = msgspec.structs.replace(RICH, jobs_per_1000=300, burst=4, patience=9)
    policies = both(rig, poor)
    log = random_log(240, users=9, items=20, seed=5, kinds=EVERY_KIND)
    for start in range(0, 120, 6):
        rig.asked(policies, log[start : start + 6])
    again = both(rig, poor)
    again.load_state({name: value.clone() for name, value in policies.state().items()})
    assert digest(again.state()) == digest(policies.state())
    compared = 0
    for start in range(120, 240, 6):
        step = rig.taken(log[start : start + 6])
        first, second = (one.after_step(cast(Engine, rig), step, start) for one in (policies, again))
        assert first == second
        compared += len(first)
        for wanted in first:
            if wanted.kind == "reasoning" and wanted.events % 2:
                rig.answer(wanted)
    assert compared > 20
    assert digest(again.state()) == digest(policies.state())


def test_a_policy_that_came_after_the_snapshot_starts_from_nothing_and_others_go_on() -> None:
    rig = ReasoningRig()
    alone = Policies({"profile": RefreshPolicy(RICH, rig.history)})
    rig.asked(alone, visits("ann", "ab"))
    policies = both(rig)
    policies.load_state(alone.state())
    (wanted,) = rig.asked(policies, visits("ann", "c", first=5))
    assert wanted.kind == "reasoning", "the profile is still waited for"


def test_a_forgotten_user_is_forgotten_by_both() -> None:
    rig = ReasoningRig()
    policies = both(rig, msgspec.structs.replace(RICH, jobs_per_1000=0))
    rig.asked(policies, visits("ann", "abc"))
    row = int(rig.graph.user_ids.find(["ann"])[0])
    policies.forget_user(row)
    assert [figures["waiting"] for figures in policies.figures().values()] == [0, 0]
    people = {name: value for name, value in policies.state().items() if ".people." in name}
    assert people and not any(bool((value[row] > 0).any()) for value in people.values())


def test_partners_by_transitions_have_a_share_in_order_and_are_never_the_item_itself() -> None:
    rig = ReasoningRig()
    for start in range(0, 600, 30):
        rig.step(random_log(600, users=12, items=15, seed=2, kinds=EVERY_KIND)[start : start + 30])
    rows = list(range(1, 16))
    for most in (1, 4, 100):
        for row, found in zip(rows, rig.transitions.partners(rows, most), strict=True):
            strengths = [strength for _, _, strength in found]
            assert strengths == sorted(strengths, reverse=True)
            assert all(0 < strength <= 1 for strength in strengths)
            assert row not in [other for other, _, _ in found]
            for relation in ("together", "follows"):
                mine = [other for other, name, _ in found if name == relation]
                assert 0 < len(mine) <= most and len(set(mine)) == len(mine)
    assert rig.transitions.partners([], 3) == []


def test_a_policy_over_an_engine_asks_all_sources_that_know_partners() -> None:
    engine = related()
    for number in range(12):
        engine.step(random_log(96, users=6, items=24, seed=9)[8 * number : 8 * number + 8])
    rows = [1, 2, 3]
    transitions = next(source for source in engine.sources if isinstance(source, TransitionSource))
    latent, counted = relation_source(engine).partners(rows, 2), transitions.partners(rows, 2)
    found = AllPartners([relation_source(engine), transitions]).partners(rows, 2)
    for place in range(3):
        assert sorted(found[place]) == sorted([*latent[place], *counted[place]])
        assert [one[2] for one in found[place]] == sorted((one[2] for one in found[place]), reverse=True)
    policy = policy_over(RICH, engine, "reasoning")
    jobs = policy.after_step(engine, _unranked(engine.step([event(200, "user-1", "item-1", ts=START_MS + 10**9)])), 200)
    relations = {one.relation for wanted in jobs for one in wanted.related}
    assert {"together", "follows"} < relations
    assert any("latent relation" in relation for relation in relations)


def _unranked(step: StepResult) -> StepResult:
    assert np.isfinite(step.ranks["evergraph"]).all()
    return step


def test_an_engine_without_room_for_graphs_or_without_partners_is_asked_in_vain_but_in_peace() -> None:
    engine = build_engine(SMALL)
    policy = policy_over(RICH, engine, "reasoning")
    jobs = [
        one
        for number in range(3)
        for one in policy.after_step(engine, engine.step(visits("ann", "ab", first=2 * number)), 1)
    ]
    assert [one.events for one in jobs] == [2]
    alone = living(without=("transitions",))
    (job,) = policy_over(RICH, alone, "reasoning").after_step(alone, alone.step(visits("ann", "ab")), 1)
    assert job.related == () and job.previous is None
