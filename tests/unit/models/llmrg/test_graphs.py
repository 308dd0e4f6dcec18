from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from llmrg_rig import N_ITEMS, made_up

from dyngraph.reasoning import Imagined, ReasoningGraph, Step
from models.llmrg.chains import Chains, PlacedChains, gathered, sequence_chains
from models.llmrg.graphs import GraphBatch, divergent_graphs, reasoning_graphs
from models.sequential.histories import Histories

Named = set[tuple[int, str, str]]


def edges(graphs: GraphBatch) -> Named:
    """Edges as (graph, from, to), items as numbers, concepts as c and a number."""

    def name(node: int) -> str:
        return str(int(graphs.items[node])) if graphs.items[node] else f"c{int(graphs.concepts[node])}"

    pairs = list(zip(graphs.source.tolist(), graphs.target.tolist(), strict=True))
    found = {(int(graphs.graph[source]), name(source), name(target)) for source, target in pairs}
    assert len(found) == len(pairs), "no edge twice"
    return found


def one_user(items: list[int], came_from: list[int], concept: list[int]) -> PlacedChains:
    histories = Histories.of(np.zeros(len(items), dtype=np.int64), np.array(items))
    return replace(sequence_chains(histories), came_from=np.array(came_from), concept=np.array(concept))


def test_concepts_stand_between_items_and_before_what_opens_a_chain() -> None:
    chains = one_user([5, 6, 7, 5, 8], came_from=[-1, 0, 0, 1, -1], concept=[3, 0, 4, 4, 0])
    graphs = reasoning_graphs(chains.at(np.array([4])))
    assert edges(graphs) == {
        (0, "c3", "5"),
        (0, "5", "6"),
        (0, "5", "c4"),
        (0, "c4", "7"),
        (0, "6", "c4"),
        (0, "c4", "5"),
    }
    assert sorted(graphs.items.tolist()) == [0, 0, 5, 6, 7], "an item met twice is one node"
    assert int(graphs.items[graphs.last[0]]) == 5
    assert graphs.present.tolist() == [True]


def test_the_sequence_graph_goes_from_each_item_to_the_next() -> None:
    histories = Histories.of(np.array([1, 1, 1, 1, 2, 2]), np.array([5, 6, 5, 6, 9, 5]))
    graphs = reasoning_graphs(sequence_chains(histories).at(np.array([3, 5])))
    assert edges(graphs) == {(0, "5", "6"), (0, "6", "5")}
    assert sorted(graphs.items.tolist()) == [5, 6, 9]


def test_shares_of_an_edge_sum_to_one_at_either_end() -> None:
    placed = made_up()
    for graphs in (reasoning_graphs, divergent_graphs):
        batch = graphs(placed.at(np.array([6, 10, 13, 30])))
        into = np.bincount(batch.target, batch.weight_in)
        out = np.bincount(batch.source, batch.weight_out)
        np.testing.assert_allclose(into[into > 0], 1, rtol=1e-5)
        np.testing.assert_allclose(out[out > 0], 1, rtol=1e-5)


def test_imagined_items_hang_on_their_steps_and_weigh_by_their_scores() -> None:
    chains = replace(
        one_user([5, 6, 7], came_from=[-1, 0, 1], concept=[1, 1, 1]),
        imagined_place=np.array([2, 2, 2]),
        imagined_step=np.array([0, 0, 1]),
        imagined_item=np.array([8, 9, 8]),
        imagined_score=np.array([75, 25, 50], dtype=np.float32),
    )
    graphs = divergent_graphs(chains.at(np.array([2])))
    assert edges(graphs) == {(0, "5", "8"), (0, "5", "9"), (0, "6", "8")}
    share = dict(zip(graphs.items[graphs.target].tolist(), graphs.weight_out.tolist(), strict=True))
    assert share[9] == pytest.approx(0.25)
    assert int(graphs.items[graphs.last[0]]) == 6
    assert divergent_graphs(chains.at(np.array([1]))).present.tolist() == [False], "nothing was imagined for this place"


def test_later_events_and_what_is_imagined_later_change_no_earlier_graph() -> None:
    placed = made_up()
    place = 11
    histories = placed.histories
    items = histories.items.copy()
    items[place:] = 1 + items[place:] % N_ITEMS
    later = placed.imagined_place > place
    changed = replace(
        placed,
        histories=Histories(items, histories.starts),
        came_from=np.where(placed.place >= place, -1, placed.came_from),
        concept=np.where(placed.place >= place, 1, placed.concept),
        imagined_item=np.where(later, 1, placed.imagined_item),
    )
    for one, other in zip(placed.at(np.array([place])), changed.at(np.array([place])), strict=True):
        np.testing.assert_array_equal(one, other)


def test_questions_in_company_have_the_graphs_that_they_have_alone() -> None:
    placed = made_up()
    places = np.array([20, 4, 6, 27])
    together = placed.at(places)
    for which, place in enumerate(places):
        alone = placed.at(np.array([place]))
        for graphs in (reasoning_graphs, divergent_graphs):
            whole, single = graphs(together), graphs(alone)
            if not whole.present[which]:
                assert not single.present[0]
                continue
            number = int(whole.present[:which].sum())
            assert {edge[1:] for edge in edges(whole) if edge[0] == number} == {edge[1:] for edge in edges(single)}


def test_only_the_latest_steps_are_read_and_what_came_from_older_ones_opens_a_chain() -> None:
    chains = one_user([5, 6, 7, 8], came_from=[-1, 0, 1, 1], concept=[0, 0, 0, 0])
    assert edges(reasoning_graphs(chains.at(np.array([3]), longest=2))) == {(0, "6", "7")}


def test_a_step_from_the_future_or_of_another_user_is_refused() -> None:
    with pytest.raises(ValueError, match="the step at place 1 goes on from the step at place 2"):
        one_user([5, 6, 7], came_from=[-1, 2, 1], concept=[0, 0, 0])
    histories = Histories.of(np.array([0, 0, 1]), np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="earlier event of the same user"):
        replace(sequence_chains(histories), came_from=np.array([-1, 0, 1]))
    with pytest.raises(ValueError, match="imagined item at place 1 goes on from the step at place 1"):
        replace(
            sequence_chains(histories),
            imagined_place=np.array([1]),
            imagined_step=np.array([1]),
            imagined_item=np.array([3]),
            imagined_score=np.ones(1, dtype=np.float32),
        )
    with pytest.raises(ValueError, match="a step that does not exist"):
        replace(sequence_chains(histories), came_from=np.array([-1, 9, -1]))


def test_graphs_of_the_stream_are_read_as_those_of_a_log() -> None:
    def step(item: str, came_from: int, concept: str) -> Step:
        return Step(item, 1, came_from, "follows", concept, "", 80.0)

    graph = ReasoningGraph(
        user_id="ann",
        ts=9,
        offset=-1,
        events=3,
        steps=(step("a", -1, "OPI"), step("unknown", 0, ""), step("b", 1, ""), step("c", 2, "OPI")),
        imagined=(Imagined(3, "d", "d", 1.0, "follows", "", 60.0), Imagined(3, "?", "", 0.0, "follows", "", 60.0)),
        concepts=("OPI",),
        vectors=np.arange(4, dtype="<f2").tobytes(),
        producer="statistical",
    )
    rows = {"a": 1, "b": 2, "c": 3, "d": 4}
    chains = gathered([None, graph], rows, 4)
    assert edges(reasoning_graphs(chains)) == {(0, "c1", "1"), (0, "2", "c1"), (0, "c1", "3")}
    assert edges(divergent_graphs(chains)) == {(0, "3", "4")}
    assert reasoning_graphs(chains).present.tolist() == [False, True]
    assert chains.vectors[1].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="user 'ann': 1 concepts of width 8 take 8 numbers, not 4"):
        gathered([graph], rows, 8)
    empty = gathered([None, msgspec.structs.replace(graph, steps=(), imagined=())], rows, 4)
    assert reasoning_graphs(empty).present.tolist() == [False, False]
    assert isinstance(empty, Chains)
