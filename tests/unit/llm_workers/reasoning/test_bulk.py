"""Reasoning in bulk: the same graphs as one by one, and no event of a user's own future in any of them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from dyngraph.events import Item
from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Related
from llm_workers.producers.terms import Terms
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.bulk import BulkGraphs, graphs_of_histories
from llm_workers.reasoning.coded import CodedCatalogue, Histories
from llm_workers.reasoning.counted import CountedNeighbours
from llm_workers.reasoning.evidence import Weigher
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.reasoning.soundness import fault_of
from llm_workers.reasoning.statistical import StatisticalReasoner
from llm_workers.requests import past_item

ITEMS, USERS, NEAREST = 30, 25, 5
RNG = np.random.default_rng(7)


def shop() -> list[Item]:
    """Row 0 is nobody; ids are not in the order of the rows; two items share a text, one has none."""
    found = [Item("")]
    for row in range(1, ITEMS):
        shelf, kind = f"Shelf {row % 3}", f"Kind {row % 7}"
        found.append(
            Item(f"i{(row * 7) % ITEMS:02d}", f"Thing {row}", f"Brand {row % 5}", (f"All > {shelf} > {kind}",))
        )
    found[4] = Item(found[4].item_id, "Thing 9", found[9].brand, found[9].categories)
    found[5] = Item(found[5].item_id)
    return found


CATALOGUE = shop()
VECTORS = RNG.normal(size=(ITEMS, 6))
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float32)
VECTORS[[0, 5]] = 0
SEQUENCES = [RNG.integers(1, ITEMS, RNG.integers(1, 14)).tolist() for _ in range(USERS)]
CODED = CodedCatalogue.of(CATALOGUE, VECTORS)


def bulk(
    sequences: list[list[int]], settings: ReasoningSettings | None = None, counted: list[int] | None = None
) -> tuple[BulkGraphs, CountedNeighbours]:
    histories = Histories.of(sequences)
    first = None if counted is None else np.array(counted)
    neighbours = CountedNeighbours.of(histories, CODED.arrays.alphabet, counted=first, most=NEAREST)
    return graphs_of_histories(histories, CODED, neighbours, settings=settings), neighbours


def one_by_one(user: int, neighbours: CountedNeighbours, settings: ReasoningSettings) -> ReasoningGraph:
    """By the chain builder, event by event, with what the bulk counted as the requests' neighbours."""
    items = {item.item_id: item for item in CATALOGUE}
    rows = {item.item_id: row for row, item in enumerate(CATALOGUE)}
    weigher = Weigher(Terms.of(CATALOGUE), lambda one, other: float(VECTORS[rows[one]] @ VECTORS[rows[other]]))
    builder = ChainBuilder(StatisticalReasoner(weigher, settings), items.get, settings=settings, clock=lambda: 0)
    taken = SEQUENCES[user]
    related = tuple(
        Related(CATALOGUE[row].item_id, CATALOGUE[other].item_id, "follows", float(strength))
        for row in dict.fromkeys(taken)
        for other, strength in zip(*neighbours.near(user, row), strict=True)
    )
    past = tuple(past_item(items.get, CATALOGUE[row].item_id, at, 1.0) for at, row in enumerate(taken))
    graph: ReasoningGraph | None = None
    for events in range(1, len(taken) + 1):
        request = ReasoningRequest("", events - 1, -1, events, past[:events], related, graph)
        graph = asyncio.run(builder.graph(request))
    assert graph is not None
    return graph


@pytest.mark.slow  # the first time, for what is compiled
@pytest.mark.parametrize(
    "settings",
    [
        ReasoningSettings(threshold=30),
        ReasoningSettings(threshold=60, most_steps=4, chains=2, ideas=2),
        ReasoningSettings(verify=False, proposals=1, repeats=True),
    ],
    ids=["default", "short", "unverified"],
)
def test_in_bulk_and_one_by_one_are_the_same(settings: ReasoningSettings) -> None:
    graphs, neighbours = bulk(SEQUENCES, settings)
    texts = [past_item({item.item_id: item for item in CATALOGUE}.get, item.item_id, 0, 1.0) for item in CATALOGUE]
    links = imagined = 0
    for user in range(USERS):
        events = len(SEQUENCES[user])
        many = graphs.graph(user, events, texts, range(events), most_steps=settings.most_steps)
        one = one_by_one(user, neighbours, settings)
        assert fault_of(many) == ""
        assert [step.item_id for step in many.steps] == [step.item_id for step in one.steps]
        assert [step.came_from for step in many.steps] == [step.came_from for step in one.steps]
        assert [(s.relation, s.concept, s.reason) for s in many.steps] == [
            (s.relation, s.concept, s.reason) for s in one.steps
        ]
        assert [step.score for step in many.steps] == pytest.approx([step.score for step in one.steps], abs=1e-3)
        assert [idea.score for idea in many.imagined] == pytest.approx([i.score for i in one.imagined], abs=1e-3)
        assert [(i.item_id, i.step, i.reason) for i in many.imagined] == [
            (i.item_id, i.step, i.reason) for i in one.imagined
        ]
        links += sum(step.came_from >= 0 for step in one.steps)
        imagined += len(one.imagined)
    assert links > 5 and imagined > 5, "there was something to compare"


def of_prefix(graphs: BulkGraphs, user: int, events: int) -> list[NDArray[np.generic]]:
    """All that a prefix's graph is made of."""
    begin = int(graphs.borders[user])
    steps = slice(begin, begin + events)
    ideas = slice(*graphs.imagined_borders[begin + events - 1 : begin + events + 1].tolist())
    columns = (graphs.item, graphs.came_from, graphs.relation, graphs.concept, graphs.score)
    return [
        *(c[steps] for c in columns),
        *(c[ideas] for c in (graphs.imagined, graphs.imagined_step, graphs.imagined_score)),
    ]


@pytest.mark.parametrize("user", range(0, USERS, 3))
def test_no_later_event_of_a_user_has_a_part_in_an_earlier_graph(user: int) -> None:
    """Whatever a user does next, and however often: what was thought and imagined before stays."""
    before, _ = bulk(SEQUENCES)
    length = len(SEQUENCES[user])
    events = max(1, length // 2)
    for later in ([], [1], [2, 3, 2, 3, 2, 3], SEQUENCES[user][events:][::-1]):
        changed = [*SEQUENCES]
        changed[user] = SEQUENCES[user][:events] + later
        after, _ = bulk(changed)
        for mine, theirs in zip(of_prefix(before, user, events), of_prefix(after, user, events), strict=True):
            assert (mine == theirs).all()


def test_what_is_held_out_of_others_is_not_counted() -> None:
    """The last item of every user may be anything."""
    counted = [max(len(sequence) - 1, 0) for sequence in SEQUENCES]
    before, _ = bulk(SEQUENCES, counted=counted)
    changed = [[*sequence[:-1], 1 + (sequence[-1] + 3) % (ITEMS - 1)] for sequence in SEQUENCES]
    after, _ = bulk(changed, counted=counted)
    for user, sequence in enumerate(SEQUENCES):
        if len(sequence) > 1:
            for mine, theirs in zip(*(of_prefix(g, user, len(sequence) - 1) for g in (before, after)), strict=True):
                assert (mine == theirs).all()
    other, _ = bulk(changed)
    assert not np.array_equal(before.imagined, other.imagined), "counted, they do matter"


def test_strengths_are_what_the_formula_says() -> None:
    """Against counting by hand, pair by pair."""
    sequences = [[1, 2, 3, 1], [2, 1, 4], [1, 5, 5, 5, 2], [3, 2]]
    _, neighbours = bulk(sequences)
    for user in range(4):
        for item in (1, 2, 3, 5):
            events = [(v, p, i) for v, s in enumerate(sequences) if v != user for p, i in enumerate(s)]
            count = {other: sum(i == other for *_, i in events) for other in range(ITEMS)}
            expected: dict[int, float] = {}
            for v, p, one in events:
                for w, q, other in events:
                    if v == w and one == item != other and 0 < abs(q - p) <= 3:
                        expected[other] = expected.get(other, 0.0) + (1.0 if q > p else 0.5) / abs(q - p)
            expected = {o: min(1.0, c / np.sqrt(count[item] * count[o])) for o, c in expected.items()}
            ids, strengths = neighbours.near(user, item)
            assert dict(zip(ids.tolist(), strengths.tolist(), strict=True)) == pytest.approx(expected)
            assert (np.diff(strengths) <= 0).all()


def test_what_does_not_fit_together_is_refused() -> None:
    histories = Histories.of([[1, 2], [3]])
    with pytest.raises(ValueError, match="from 0 to the length"):
        CountedNeighbours.of(histories, CODED.arrays.alphabet, counted=np.array([3, 1]))
    with pytest.raises(ValueError, match="2 rows for 30 items"):
        CodedCatalogue.of(CATALOGUE, np.zeros((2, 3)))
    graphs, _ = bulk([[1, 2], [3]])
    with pytest.raises(ValueError, match=r"events = 3: user 0 has 1 to 2"):
        graphs.graph(0, 3, [], [])
    assert Histories.of([]).users == 0
    assert len(bulk([])[0].item) == 0
