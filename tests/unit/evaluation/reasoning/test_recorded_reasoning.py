"""Reasoning by a language model, recorded: asked about the past alone, replayed bit for bit, read where it belongs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from reasoning_rig import circling, split
from rich.console import Console

from dyngraph.reasoning import NO_STEP, Imagined, ReasoningGraph, Step
from evaluation.coded import CodedLog
from evaluation.profiles import stock
from evaluation.profiles.stock import TextStock
from evaluation.reasoning import bases
from evaluation.reasoning.calls import Calls
from evaluation.reasoning.held_out import HeldOutHistories
from evaluation.reasoning.outcomes import Outcomes, Run
from evaluation.reasoning.recorded import RecordedChains, RecordedPlaces, newest_only, read_graphs, write_graphs
from evaluation.reasoning.recorded_rows import COUNTED, RECORDED, check_recorded, recorded_rows, recorded_table
from evaluation.reasoning.recording import Called, Played, Recording, requests_before_tests
from evaluation.reasoning.statistical import StatisticalChains
from evaluation.reasoning.study import Study
from evaluation.reasoning.training import Schedule
from llm_workers.cache import AnswerCache
from llm_workers.protocols import Answer, LlmError, Prompt, Spent
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.settings import ReasoningSettings
from models.llmrg.chains import Chains
from models.sequential.config import SequentialConfig
from models.sequential.histories import Histories


@pytest.fixture(autouse=True)
def texts_kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "cache_folder", lambda: tmp_path)


class Model:
    """Answers in form, but for one question in five, and notes what it was asked."""

    model_id = "m"

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    async def answer(self, prompt: Prompt) -> Answer:
        self.asked.append(prompt)
        if len(self.asked) % 5 == 0:
            raise LlmError("invalid_answer", "cut", retry=False)
        number = len(self.asked) % 12
        said = {
            "reasoning": {"links": [{"from": 1, "relation": "next", "concept": "circle", "reason": "It goes on."}]},
            "divergence": {"items": [{"name": f"thing {number}", "relation": "next", "reason": "It goes on."}]},
            "verification": {"filled": f"thing {number}"},
            "scoring": {"score": 20 + 5 * number},
        }
        return Answer(json.dumps(said[prompt.kind]), "m", Spent(10, 5, 0.1))


def asked_for(log: CodedLog, users: int = 6) -> list[ReasoningRequest]:
    return requests_before_tests(log, split(log), users=users, items=3, seed=0)


def recording(log: CodedLog, path: Path) -> Recording:
    texts = {item.item_id: item for item in log.catalogue.values()}
    encoder = TextStock("random").encoder
    matcher = VectorMatcher(encoder, cut_off=-1.0)
    matcher.add(texts.values())
    settings = ReasoningSettings(proposals=1, chains=1, ideas=2)
    cache = AnswerCache(path, 10**7)
    return Recording(cache, "m", "embedded", texts.get, matcher, encoder, settings)


async def finished(made: Recording, requests: list[ReasoningRequest], model: Model, most: int = 1_000) -> list[Called]:
    """Ask until nobody waits, or ``most`` answers have come."""
    called: list[Called] = []
    while questions := (await made.play(requests)).questions:
        assert [one.kind for one in questions] == sorted(one.kind for one in questions)
        for prompt in questions:
            called.append(await made.ask(prompt, model, repairs=0))
            if len(called) == most:
                return called
    return called


def played(made: Recording, requests: list[ReasoningRequest]) -> Played:
    return asyncio.run(made.play(requests))


def test_requests_hold_the_newest_past_before_the_test_item_and_nothing_later() -> None:
    log = circling()
    data, requests = split(log), asked_for(log)
    assert [one.user_id for one in asked_for(log, 3)] == [one.user_id for one in requests[:3]]
    place_of = {log.user_ids[log.users[data.rows[place]]]: place for place in data.tests.tolist()}
    for request in requests:
        place = place_of[request.user_id]
        before = [log.item_ids[item] for item in data.histories.items[place - 3 : place]]
        assert [item.item_id for item in request.past] == before
        assert (request.events, request.ts) == (5, request.past[-1].ts)
        assert {one.item_id for one in request.neighbours} == set(before)
        assert all(0 < one.strength <= 1 for one in request.neighbours)
    # Every held-out item may be another one: what is asked, neighbours too, is the same.
    items = data.histories.items.copy()
    items[data.tests] = 1 + (items[data.tests] + 4) % data.n_items
    other = replace(data, histories=Histories(items, data.histories.starts))
    assert requests_before_tests(log, other, users=6, items=3, seed=0) == requests


def test_a_recording_is_replayed_bit_for_bit_and_stopped_it_goes_on(tmp_path: Path) -> None:
    log = circling()
    requests, model = asked_for(log), Model()
    made = recording(log, tmp_path / "answers.sqlite")
    first = asyncio.run(finished(made, requests, model, most=7))
    assert len(first) == 7 and played(made, requests).waiting
    made.cache.close()
    made = recording(log, tmp_path / "answers.sqlite")
    called = first + asyncio.run(finished(made, requests, model))
    assert len({(prompt.kind, prompt.user) for prompt in model.asked}) == len(model.asked) == len(called)
    assert {one.kind for one in called} == {"reasoning", "divergence", "verification", "scoring"}
    assert [one.fit for one in called].count(False) == len(called) // 5
    one, again = played(made, requests), played(made, requests)
    assert not one.waiting and len(one.graphs) == len(requests)
    assert msgspec.msgpack.encode(one.graphs) == msgspec.msgpack.encode(again.graphs)
    assert one.figures.invalid_answers > 0, "a question without a fit answer is one in the replay too"
    assert one.figures.dropped > 0 and one.figures.verified > 0
    made.cache.close()


def place_and_graph(
    log: CodedLog, data: HeldOutHistories, which: int = 0, steps: int = 3
) -> tuple[int, ReasoningGraph]:
    """A recorded graph of a test user: a chain along the newest items, and their true next item imagined."""
    place = int(data.tests[which])
    items = [log.item_ids[item] for item in data.histories.items[place - steps : place + 1].tolist()]
    chain = tuple(Step(item, at, at - 1, "next", f"c{at}", "So.", 90.0) for at, item in enumerate(items[:-1]))
    imagined = (Imagined(steps - 1, "x", items[-1], 0.9, "next", "So.", 77.0),)
    width = TextStock("random").width
    vectors = np.arange(steps * width, dtype="<f2").tobytes()
    user_id, known = log.user_ids[log.users[data.rows[place]]], place - int(data.histories.starts[place])
    concepts = tuple(step.concept for step in chain)
    return place, ReasoningGraph(user_id, steps, -1, known, chain, imagined, concepts, vectors, "embedded")


def assert_equal(ours: Chains, theirs: Chains) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_recorded_graphs_stand_at_their_test_places_and_counted_ones_everywhere_else(tmp_path: Path) -> None:
    log = circling(users=20)
    data = split(log)
    (first, one), (second, two) = (place_and_graph(log, data, which) for which in (2, 5))
    write_graphs(tmp_path / "graphs.msgpack", [one, two])
    builder = RecordedChains(StatisticalChains("random"), read_graphs(tmp_path / "graphs.msgpack"))
    counted, chains = StatisticalChains("random")(log, data, 30.0), builder(log, data, 30.0)
    assert isinstance(chains, RecordedPlaces) and chains.histories is data.histories
    elsewhere = np.concatenate([data.learned, data.validation, np.setdiff1d(data.tests, [first, second])])
    assert_equal(chains.at(elsewhere), counted.at(elsewhere))

    asked = np.array([data.tests[0], first, data.tests[1], second, data.tests[3]])
    mixed, plain = chains.at(asked), counted.at(asked)
    assert (np.diff(mixed.user) >= 0).all() and (np.diff(mixed.imagined_user) >= 0).all()
    for user, graph in ((1, one), (3, two)):
        mine = np.flatnonzero(mixed.user == user)
        assert [log.item_ids[item] for item in mixed.item[mine]] == [step.item_id for step in graph.steps]
        assert (mixed.came_from[mine] - mine[0]).tolist()[1:] == [0, 1] and mixed.came_from[mine[0]] == NO_STEP
        width = chains.vectors.shape[1]
        rows = np.frombuffer(graph.vectors, "<f2").reshape(-1, width)
        np.testing.assert_array_equal(mixed.vectors[mixed.concept[mine]], rows.astype(np.float32))
        (imagined,) = np.flatnonzero(mixed.imagined_user == user)
        assert mixed.imagined_step[imagined] == mine[-1] and mixed.imagined_score[imagined] == 77
        assert log.item_ids[mixed.imagined_item[imagined]] == graph.imagined[0].item_id
    for user in (0, 2, 4):
        ours, theirs = np.flatnonzero(mixed.user == user), np.flatnonzero(plain.user == user)
        np.testing.assert_array_equal(mixed.item[ours], plain.item[theirs])
        come = mixed.came_from[ours], plain.came_from[theirs]
        np.testing.assert_array_equal(
            np.where(come[0] >= 0, come[0] - ours[0], NO_STEP), np.where(come[1] >= 0, come[1] - theirs[0], NO_STEP)
        )
        np.testing.assert_array_equal(mixed.vectors[mixed.concept[ours]], plain.vectors[plain.concept[theirs]])
        ideas, known = mixed.imagined_user == user, plain.imagined_user == user
        np.testing.assert_array_equal(mixed.imagined_item[ideas], plain.imagined_item[known])
        np.testing.assert_array_equal(mixed.imagined_step[ideas] - ours[0], plain.imagined_step[known] - theirs[0])
    short = newest_only(counted, 2).at(asked)
    assert np.bincount(short.user).tolist() == [2] * 5


def test_a_graph_that_holds_the_test_item_or_another_past_is_left_out(tmp_path: Path) -> None:
    log = circling(users=20)
    data = split(log)
    _, right = place_and_graph(log, data, 1)
    place, graph = place_and_graph(log, data, 2)
    peeking = Step(log.item_ids[data.histories.items[place]], 9, NO_STEP, "opens", "c0", "So.", 100.0)
    leaky = msgspec.structs.replace(graph, steps=(*graph.steps[1:], peeking))
    early = msgspec.structs.replace(place_and_graph(log, data, 3)[1], events=4)
    swapped = place_and_graph(log, data, 4)[1]
    swapped = msgspec.structs.replace(swapped, steps=swapped.steps[::-1])
    stranger = msgspec.structs.replace(graph, user_id="nobody")
    builder = RecordedChains(StatisticalChains("random"), [right, leaky, early, swapped, stranger])
    assert list(builder(log, data, 30.0).graphs.values()) == [right]
    assert builder.refused == {"another_past": 3, "unknown_user": 1}
    (tmp_path / "torn").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"torn holds no recorded graphs .*recorded_reasoning.py"):
        read_graphs(tmp_path / "torn")


def test_nobody_to_ask_is_said_instead_of_an_empty_recording(tmp_path: Path) -> None:
    log = circling(events=4)
    with pytest.raises(ValueError, match="circle: no user has 5 events"):
        requests_before_tests(log, split(log), users=6, items=3, seed=0)
    for users, items, told in ((0, 3, "users = 0"), (6, 0, "items = 0")):
        with pytest.raises(ValueError, match=f"{told}: use 1 or more"):
            requests_before_tests(circling(), split(circling()), users=users, items=items, seed=0)
    with pytest.raises(ValueError, match=r"none: no such file; make it with recorded_reasoning\.py"):
        read_graphs(tmp_path / "none")


def test_a_line_of_calls_that_was_left_unfinished_is_dropped_and_a_bad_one_named(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    calls = Calls(path)
    one, two, three = (Called(kind, Spent(10, 5, 0.1), True) for kind in ("reasoning", "scoring", "reasoning"))
    for called in (one, two):
        calls.add(called)
    assert Calls(path).by_kind() == calls.by_kind() == {"reasoning": [one], "scoring": [two]}
    whole = path.read_bytes()
    for torn in (whole + b'["reaso', whole + b"\0\0", whole):
        path.write_bytes(torn)
        again = Calls(path)
        again.add(three)
        assert Calls(path).by_kind() == again.by_kind() == {"reasoning": [one, three], "scoring": [two]}
    path.write_bytes(whole[:7])
    assert not Calls(path).by_kind() and not path.read_bytes()
    path.write_bytes(whole + b'["reaso' + whole)
    with pytest.raises(ValueError, match=r"calls\.jsonl, line 3: no call of a recording .*; delete the line"):
        Calls(path)
    assert path.read_bytes() == whole + b'["reaso' + whole


def silent(epoch: int, done: int, updates: int, loss: float) -> None:
    """Tell nobody."""


def test_the_trained_model_reads_recorded_graphs_beside_counted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bases.BASES, "duorec", SequentialConfig(dim=8, inner=16, dropout=0.1))
    log = circling(users=30)
    study = Study(
        log,
        "duorec",
        Outcomes(tmp_path / "bases"),
        Outcomes(tmp_path / "rows"),
        StatisticalChains("random"),
        Schedule(epochs=1, batch=64, lr=0.01),
        Schedule(epochs=1, batch=64, lr=0.01),
    )
    data = split(log)
    graphs = [place_and_graph(log, data, which)[1] for which in range(0, 20, 2)]
    check_recorded(study, graphs, "published", 0)
    with pytest.raises(ValueError, match="none of the 0 recorded graphs belongs to the published order, seed 0"):
        check_recorded(study, [], "published", 0)
    with pytest.raises(ValueError, match="row 'reasoning', order published, seed 0: run it first"):
        recorded_rows(study, graphs, "published", 0)
    for row in ("sequence graph", "reasoning"):
        study.run(Run(row, "published", 0), silent)
    found = recorded_rows(study, graphs, "published", 0)
    short = f"{COUNTED}, newest 3 items"
    assert list(found.ranks) == ["base", "sequence graph", COUNTED, short, RECORDED] and not found.left_out
    assert len(found.users) == 10
    kept = study.rows.ranks(Run("reasoning", "published", 0))
    for ours, theirs in zip(found.ranks[COUNTED], kept, strict=True):
        np.testing.assert_array_equal(ours, theirs[:20:2])
    assert (found.ranks[RECORDED].masked != found.ranks[COUNTED].masked).any(), "other graphs are read"
    console = Console(record=True, width=200)
    console.print(recorded_table({("published", 0): found}))
    text = console.export_text()
    assert text.count(RECORDED) == 2 and text.count("sequence graph") == 2, "masked and not"
    with pytest.raises(ValueError, match="none of the 1 recorded graphs belongs to the published order"):
        recorded_rows(study, [msgspec.structs.replace(graphs[0], events=1)], "published", 0)
