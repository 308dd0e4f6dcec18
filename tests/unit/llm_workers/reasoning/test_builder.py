"""The chain builder: links that hold up, openings, extension step by step, and nothing that cannot be true."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence, Set
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reasoning_requests import SHOP, WordCounts, request

from dyngraph.reasoning import Imagined, ReasoningGraph, Step, chains
from llm_workers.producers.terms import Terms
from llm_workers.protocols import LlmError, PastItem, ProducerName
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.evidence import Weigher
from llm_workers.reasoning.facts import Facts, text_of
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.protocol import Filled, Idea, Masked, Match, Original, Part, Proposal
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.reasoning.soundness import fault_of, names_somebody
from llm_workers.reasoning.statistical import StatisticalReasoner
from llm_workers.reasoning.words import words

COUNTING = StatisticalReasoner(Weigher(Terms.of(SHOP.values())))
EVERYBODY = ("red", "shampoo", "blue", "rinse", "top", "file")


class Says:
    """A reasoner that says what it was told to, for every item and chain the same."""

    name: ProducerName = "endpoint"
    model_id, prompt_version, reads_words = "m", "v", True

    def __init__(
        self,
        proposals: Sequence[Proposal] = (),
        ideas: Sequence[Idea] = (),
        scores: Sequence[float] = (90.0,),
        hides: Sequence[Part] = ("item",),
        error: LlmError | None = None,
    ) -> None:
        self.proposals, self.ideas, self.scores, self.hides, self.error = proposals, ideas, list(scores), hides, error
        self.masked: list[Masked] = []
        self.originals: list[Original] = []

    async def link(self, facts: Facts, steps: Sequence[Step], item: PastItem) -> Sequence[Proposal]:
        if self.error is not None:
            raise self.error
        return self.proposals

    async def diverge(self, facts: Facts, chain: Sequence[Step], barred: Set[str]) -> Sequence[Idea]:
        return self.ideas

    async def fill(self, facts: Facts, masked: Masked) -> Filled:
        self.masked.append(masked)
        return Filled("something")

    async def score(self, facts: Facts, original: Original, filled: Filled) -> float:
        self.originals.append(original)
        return self.scores[(len(self.originals) - 1) % len(self.scores)]


def link(came_from: int, relation: str = "goes with", concept: str = "nails", reason: str = "They go.") -> Proposal:
    return Proposal(came_from, relation, concept, reason)


def build(reasoner: Any, *item_ids: str, **options: Any) -> tuple[ReasoningGraph, ChainBuilder]:
    asked = {name: options.pop(name) for name in ("previous", "user_id", "neighbours") if name in options}
    builder = ChainBuilder(reasoner, SHOP.get, clock=lambda: 0, **options)
    return asyncio.run(builder.graph(request(*item_ids, **asked))), builder


def test_counting_finds_the_two_threads_of_a_history() -> None:
    graph, builder = build(COUNTING, *EVERYBODY)
    items = [[graph.steps[place].item_id for place in chain] for chain in chains(graph)]
    assert items == [["shampoo", "rinse"], ["red", "blue", "top"], ["file"]], "only others' baskets speak for the file"
    assert graph.steps[2].reason == "Others took Blue polish after Red polish."
    assert graph.concepts[0] == "Nail Polish"
    assert graph.steps[0] == Step(
        "red", 1, -1, "opens", "Nail Polish", "Nothing taken before leads to Red polish.", 100
    )
    assert (graph.producer, graph.model_id, graph.events, graph.ts) == ("statistical", "evidence", 6, 6)
    assert [idea.item_id for idea in graph.imagined] and not {idea.item_id for idea in graph.imagined} & {*EVERYBODY}
    assert all(idea.similarity == 1 and idea.reason for idea in graph.imagined)
    assert builder.figures.steps == 6
    assert fault_of(graph) == ""


@pytest.mark.parametrize("most", [50, 3])
def test_event_by_event_is_the_same_as_at_once(most: int) -> None:
    bounds = ReasoningSettings(most_steps=most)
    taken = [*EVERYBODY, "red", "comb"]
    graph: ReasoningGraph | None = None
    for events in range(1, len(taken) + 1):
        known = graph
        graph, _ = build(COUNTING, *taken[:events], previous=known, settings=bounds)
        if known is not None and len(known.steps) < most:
            assert graph.steps[: len(known.steps)] == known.steps, "steps are only added"
    at_once, _ = build(COUNTING, *taken[-most:], settings=bounds)
    assert graph is not None
    if most == 50:
        assert graph == at_once
    assert len(graph.steps) == min(most, len(taken))
    assert build(COUNTING, *taken, previous=graph, settings=bounds)[0] == graph, "asked again it says the same"
    assert fault_of(graph) == ""


def test_of_events_of_one_moment_none_is_lost_or_doubled() -> None:
    whole = request("red", "blue", "top")
    whole = msgspec.structs.replace(whole, past=tuple(msgspec.structs.replace(item, ts=3) for item in whole.past), ts=3)
    first = msgspec.structs.replace(whole, past=whole.past[:2], events=2)
    builder = ChainBuilder(COUNTING, SHOP.get, clock=lambda: 0)
    half = asyncio.run(builder.graph(first))
    both = asyncio.run(builder.graph(msgspec.structs.replace(whole, previous=half)))
    assert both == asyncio.run(builder.graph(whole))
    assert [step.item_id for step in both.steps] == ["red", "blue", "top"]


def test_a_link_that_does_not_hold_up_gives_way_to_the_next_and_then_to_an_opening() -> None:
    says = Says([link(0, reason="first"), link(1, reason="second"), link(0, reason="third")], scores=(90, 29.9, 30.0))
    graph, builder = build(says, "red", "blue", "top")
    assert [step.came_from for step in graph.steps] == [-1, 0, 1]
    assert graph.steps[2].reason == "second"
    assert (builder.figures.verified, builder.figures.dropped, builder.figures.untouched) == (2, 1, 0)
    assert builder.figures.cyclic == 1, "what is proposed to the second item as the second step is the item itself"
    none = Says([link(0)], scores=(29.9,))
    graph, builder = build(none, "red", "blue", "top")
    assert [step.came_from for step in graph.steps] == [-1, -1, -1]
    assert builder.figures.dropped == 2
    graph, builder = build(none, "red", "blue", settings=ReasoningSettings(verify=False))
    assert (graph.steps[1].came_from, graph.steps[1].score, none.masked[2:]) == (0, 100, [])


def test_what_is_masked_is_not_told() -> None:
    says = Says([link(0, reason="It is Blue polish by OPI.")], [Idea("green", "x", "y", "green")])
    build(says, "red", "blue")
    step, imagined = says.masked
    assert (step.hides, step.item, step.among, step.barred) == ("item", None, ("red", "blue"), {"red"})
    assert "blue" not in str([*step.path, step.relation, step.concept]).casefold()
    assert (imagined.item, imagined.among, imagined.barred) == (None, (), {"red", "blue"})
    assert "green" not in str(imagined).casefold()
    assert [original.item_id for original in says.originals] == ["blue", "green"]
    says = Says([link(0, concept="nail art")], hides=("concept",))
    build(says, "red", "blue")
    masked = says.masked[0]
    assert (masked.hides, masked.concept, masked.item and masked.item.item_id) == ("concept", "", "blue")
    assert says.originals == [Original("nail art")]


@pytest.mark.parametrize(
    ("relation", "concept", "told"),
    [
        ("goes with Green Polish", "essie", ("goes with ___ Polish", "___")),
        ("refill of Red polish", "Nail Polish", ("refill of Red polish", "Nail Polish")),
        ("same kind", "nail art", ("same kind", "nail art")),
    ],
)
def test_a_link_does_not_say_what_only_the_masked_item_says(relation: str, concept: str, told: tuple[str, str]) -> None:
    says = Says([link(0, relation, concept)])
    graph, _ = build(says, "red", "green")
    assert (says.masked[0].relation, says.masked[0].concept) == told
    assert (graph.steps[1].relation, graph.steps[1].concept) == (relation, concept)


def test_a_concept_that_stands_in_the_item_is_not_asked_for_beside_it() -> None:
    for concept in ("OPI", "blue polish"):
        says = Says([link(0, "goes with OPI", concept)], hides=("item", "concept"))
        build(says, "shampoo", "blue")
        assert (says.masked[0].hides, says.masked[0].relation) == ("item", "goes with ___")
    says = Says([link(0, "a first step of nail art", "nail art")], hides=("concept",))
    build(says, "shampoo", "blue")
    assert says.masked[0].relation == "a first step of ___"


class Parrot(Says):
    """Links everything to its first item by naming it, and fills in whatever is in sight."""

    async def link(self, facts: Facts, steps: Sequence[Step], item: PastItem) -> Sequence[Proposal]:
        return [Proposal(0, f"goes with {item.title}", item.title, "They go.")]

    async def fill(self, facts: Facts, masked: Masked) -> Filled:
        shown = (masked.relation, masked.concept) + ((text_of(masked.item),) if masked.item else ())
        return Filled(" ".join(shown))

    async def score(self, facts: Facts, original: Original, filled: Filled) -> float:
        return 100.0 * (words(original.text) & words(filled.text) != set())


def test_who_repeats_what_is_in_sight_verifies_nothing() -> None:
    graph, builder = build(Parrot(hides=("item", "concept")), "red", "shampoo", "rinse", "comb")
    assert [step.came_from for step in graph.steps] == [-1] * 4
    assert builder.figures.dropped == 3


def test_a_late_event_takes_its_place_behind_what_is_there() -> None:
    first, _ = build(COUNTING, "red", "top")
    late = request("red", "top", "file")
    moved = [msgspec.structs.replace(item, ts=ts) for item, ts in zip(late.past, (1, 5, 3), strict=True)]
    steps = (first.steps[0], msgspec.structs.replace(first.steps[1], ts=5))
    known = msgspec.structs.replace(first, ts=5, steps=steps)
    past = tuple(sorted(moved, key=lambda item: item.ts))
    asked = msgspec.structs.replace(late, ts=5, past=past, previous=known)
    graph = asyncio.run(ChainBuilder(COUNTING, SHOP.get, clock=lambda: 0).graph(asked))
    assert [(step.item_id, step.ts) for step in graph.steps] == [("red", 1), ("top", 5), ("file", 3)]


def test_what_is_older_than_all_steps_that_are_kept_does_not_come_back() -> None:
    bounds = ReasoningSettings(most_steps=2)
    known, _ = build(COUNTING, "red", "blue", "top", settings=bounds)
    graph, _ = build(COUNTING, "red", "blue", "top", "file", previous=known, settings=bounds)
    assert [step.item_id for step in graph.steps] == ["top", "file"]


@pytest.mark.parametrize("sizes", [{"most_steps": 65}, {"most_imagined": 30, "most_pending": 3}])
def test_no_more_is_asked_for_than_a_graph_has_room_for(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="has room for"):
        ReasoningSettings(**sizes)


def test_what_cannot_be_true_is_refused_and_counted() -> None:
    says = Says([link(7), link(1), link(-2)])
    graph, builder = build(says, "red", "blue")
    assert [step.came_from for step in graph.steps] == [-1, -1]
    assert (builder.figures.untouched, builder.figures.cyclic) == (2, 1)
    names = [Idea("Comb for customer no. 7", "x", "y"), Idea("Comb", "x", "like @berta")]
    says = Says([link(0, reason="As user 42 did."), link(0, concept="anna@mail.example")], names)
    graph, builder = build(says, "red", "blue", settings=ReasoningSettings(chains=1))
    assert (graph.steps[1].came_from, graph.imagined) == (-1, ())
    assert builder.figures.other_people == 4
    says = Says(ideas=[Idea("a", "x", "y", "red"), Idea("b", "x", "y", "no such item")])
    graph, builder = build(says, "red", "blue", settings=ReasoningSettings(chains=1))
    assert (graph.imagined, builder.figures.unavailable) == ((), 2)
    says = Says(error=LlmError("invalid_answer", "no", retry=False))
    graph, builder = build(says, "red", "blue", "top")
    assert (len(graph.steps), builder.figures.invalid_answers) == (3, 2)
    with pytest.raises(LlmError):
        build(Says(error=LlmError("timeout", "later", retry=True)), "red", "blue")


def test_items_without_text_and_with_equal_text_are_counted_and_kept() -> None:
    graph, builder = build(COUNTING, "bare", "comb", "twin", "unheard of", neighbours=())
    assert [step.item_id for step in graph.steps] == ["bare", "comb", "twin", "unheard of"]
    assert (builder.figures.without_text, builder.figures.equal_text) == (2, 2)
    assert graph.steps[2].came_from == 1, "a twin is of the same brand and kind"
    assert graph.steps[0].concept == "" and "" not in graph.concepts


def test_an_item_taken_again_goes_on_from_itself() -> None:
    graph, builder = build(COUNTING, "red", "comb", "red")
    assert (graph.steps[2].came_from, graph.steps[2].relation, graph.steps[2].score) == (0, "again", 100)
    assert builder.figures.calls["link"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "berta"},
        {"ts": 99},
        {"events": 99},
        {"steps": (Step("red", 1, 1, "", "", "", 0), Step("blue", 1, 0, "", "", "", 0))},
        {"steps": (Step("red", 1, 5, "", "", "", 0),)},
        {"steps": (Step("red", 1, -1, "", "", "", math.nan),)},
        {"imagined": (Imagined(9, "x", "", 0, "", "", 0),)},
    ],
)
def test_a_version_that_cannot_be_gone_on_from_is_built_anew(changes: dict[str, Any]) -> None:
    graph, _ = build(COUNTING, "red", "blue")
    broken = msgspec.structs.replace(graph, **changes)
    again, builder = build(COUNTING, "red", "blue", "top", previous=broken)
    assert builder.figures.previous_refused == 1
    assert again == build(COUNTING, "red", "blue", "top")[0]


def test_imagined_names_find_items_that_are_not_taken_or_wait_for_the_catalogue() -> None:
    encoder = WordCounts()
    matcher = VectorMatcher(encoder)
    matcher.add(SHOP.values())
    ideas = [Idea("Wooden comb", "goes with", "tidy"), Idea("Space suit helmet", "sudden", "who knows")]
    graph, builder = build(Says(ideas=ideas), "red", "blue", matcher=matcher)
    assert {idea.name: idea.item_id for idea in graph.imagined} == {"Wooden comb": "comb", "Space suit helmet": ""}
    assert graph.imagined[0].similarity >= 0.5
    assert builder.figures.unmatched == 2, "each of two chains imagined it"
    graph, _ = build(Says(ideas=ideas[:1]), "comb", matcher=matcher)
    assert graph.imagined[0].item_id == "twin", "never what the user has"
    graph, _ = build(Says(ideas=ideas[:1]), "comb", "twin", matcher=matcher)
    assert graph.imagined[0].item_id == ""
    matcher.put("helmet", encoder.encode(["Space suit helmet"])[0])
    before, _ = build(Says(ideas=ideas), "red", matcher=VectorMatcher(encoder))
    assert {idea.item_id for idea in before.imagined} == {""}
    after, _ = build(Says(), "red", previous=before, matcher=matcher)
    assert sorted(idea.item_id for idea in after.imagined) == ["comb", "helmet"], "what waited is tried again"


def test_sizes_are_bounded() -> None:
    ideas = [Idea(f"thing {at}", "x", "y", item_id) for at, item_id in enumerate(SHOP)]
    bounds = ReasoningSettings(ideas=9, most_imagined=3, most_pending=2)
    graph, _ = build(Says(ideas=ideas), "red", settings=bounds)
    assert len(graph.imagined) == 3
    names = [Idea(f"name {at}", "x", "y") for at in range(9)]
    graph, _ = build(Says(ideas=names), "red", settings=bounds)
    assert [idea.item_id for idea in graph.imagined] == ["", ""]
    graph, _ = build(Says(ideas=names), "red", settings=ReasoningSettings(chains=0))
    assert graph.imagined == ()


def test_concepts_have_vectors_in_their_order() -> None:
    encoder = WordCounts()
    graph, _ = build(COUNTING, *EVERYBODY, encoder=encoder)
    vectors = np.frombuffer(graph.vectors, "<f2").reshape(len(graph.concepts), encoder.width)
    assert (vectors == encoder.encode(graph.concepts).astype("<f2")).all()


wild = st.floats(allow_nan=True, allow_infinity=True)
texts = st.sampled_from(["", "nails", "user 42", "x" * 500, "\ud800", "Red polish"])
proposals = st.builds(Proposal, st.integers(-3, 8) | st.just(10**30), texts, texts, texts)
ids = st.sampled_from(["", *SHOP, "no such item"])
ideas = st.builds(Idea, texts, texts, texts, ids)


class Anything(Says):
    """Whatever hypothesis thinks of."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__(hides=("item", "concept"))
        self.data = data

    async def link(self, facts: Facts, steps: Sequence[Step], item: PastItem) -> Sequence[Proposal]:
        return self.data.draw(st.lists(proposals, max_size=4))

    async def diverge(self, facts: Facts, chain: Sequence[Step], barred: Set[str]) -> Sequence[Idea]:
        return self.data.draw(st.lists(ideas, max_size=5))

    async def score(self, facts: Facts, original: Original, filled: Filled) -> float:
        return self.data.draw(wild)


class MatchesAnything:
    """A matcher that does not care what is barred."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    async def match(self, names: Sequence[str], barred: Set[str]) -> list[Match | None]:
        return [self.data.draw(st.none() | st.builds(Match, ids.filter(bool), st.floats(-1, 1))) for _ in names]


@given(st.data(), st.lists(st.sampled_from(list(SHOP)), min_size=1, max_size=6), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_whatever_is_answered_the_graph_is_sound_and_of_touched_items(
    data: st.DataObject, taken: list[str], cut: int
) -> None:
    matcher, bounds = MatchesAnything(data), ReasoningSettings(most_steps=4)
    graph, _ = build(Anything(data), *taken[:cut], matcher=matcher, settings=bounds)
    graph, _ = build(Anything(data), *taken, previous=graph, matcher=matcher, settings=bounds)
    assert fault_of(graph) == ""
    assert [step.item_id for step in graph.steps] == taken[-4:]
    assert not {idea.item_id for idea in graph.imagined} & set(taken)
    assert not any(names_somebody(step.reason, step.concept) for step in graph.steps)
    assert all(chain[0] >= 0 for chain in chains(graph)), "chains end"
    assert len(graph.imagined) <= 12 + 3


def test_bad_settings_name_the_rule() -> None:
    with pytest.raises(ValueError, match=r"threshold = 101: must lie in 0 to 100"):
        ReasoningSettings(threshold=101)
    with pytest.raises(ValueError, match=r"most_steps = 0: must be 1 or more"):
        ReasoningSettings(most_steps=0)
