"""Ring buffers agree with a list of edges per node."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dyngraph.arrays import NUMPY, TORCH, Arrays, TorchArrays
from dyngraph.neighbours import TemporalNeighbours

FIXED = TorchArrays(fixed_shapes=True)
KINDS = pytest.mark.parametrize("xp", [NUMPY, TORCH, FIXED], ids=["numpy", "torch", "fixed shapes"])

NODES, OTHERS = 4, 6

Edge = tuple[int, int, int, int, int, float]  # at, node, ts, seq, type, value
Batches = st.lists(
    st.lists(
        st.tuples(
            st.integers(1, NODES),
            st.integers(1, OTHERS),
            st.integers(0, 3),
            st.integers(1, 8),
            st.floats(-9, 9, width=32),
        ),
        max_size=12,
    ),
    max_size=6,
)


class EdgeLists:
    """The reference: every edge kept, the last K slots looked at."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.edges: dict[int, list[Edge | None]] = {}

    def insert(self, edge: Edge) -> None:
        self.edges.setdefault(edge[0], []).append(edge)

    def before(self, at: int, ts: int, seq: int) -> set[Edge]:
        kept = self.edges.get(at, [])[-self.k :]
        return {edge for edge in kept if edge and (edge[2], edge[3]) < (ts, seq)}

    def forget_neighbour(self, node: int) -> None:
        for edges in self.edges.values():
            edges[:] = [None if edge and edge[1] == node else edge for edge in edges]


def insert(ring: TemporalNeighbours, xp: Arrays, edges: list[Edge]) -> None:
    columns = list(zip(*edges, strict=True))
    at, node, ts, seq, kind = (xp.of(torch.tensor(column, dtype=torch.int64)) for column in columns[:5])
    ring.insert(at, xp.runs(at), node, ts, seq, kind, xp.of(torch.tensor(columns[5], dtype=torch.float32)[:, None]))


def read(ring: TemporalNeighbours, at: int, ts: int, seq: int) -> set[Edge]:
    near = ring.before(torch.tensor([at]), torch.tensor([ts]), torch.tensor([seq]))
    assert near.nodes[~near.mask].eq(0).all()
    columns = (near.nodes, near.ts, near.seq, near.types, near.edges[..., 0])
    rows = zip(*(column[0].tolist() for column in columns), near.mask[0].tolist(), strict=True)
    slots = [(at, *row[:-1]) for row in rows if row[-1]]
    assert len(slots) == len(set(slots))
    return set(slots)


@KINDS
@settings(deadline=None, max_examples=50)
@given(st.sampled_from((1, 2, 5)), Batches, st.integers(0, OTHERS), st.integers(0, NODES))
def test_rings_hold_the_latest_edges_and_answer_with_strictly_earlier_ones(
    xp: Arrays, k: int, batches: list[list[tuple[int, int, int, int, float]]], erased: int, forgotten: int
) -> None:
    ring, lists, ts, seq = TemporalNeighbours(k, arrays=xp), EdgeLists(k), 100, 0
    ring.grow(1)
    for number, batch in enumerate(batches):
        ring.grow(NODES + 1)
        edges: list[Edge] = []
        for at, node, gap, kind, value in batch:
            ts, seq = ts + gap, seq + 1
            edges.append((at, node, ts, seq, kind, value))
        if edges:
            insert(ring, xp, edges)
        for edge in edges:
            lists.insert(edge)
        if number == 1 and erased:
            ring.forget_neighbour(erased)
            lists.forget_neighbour(erased)
        if number == 2 and forgotten:
            ring.forget(forgotten)
            lists.edges.pop(forgotten, None)
        again = TemporalNeighbours(k, arrays=xp)
        again.load_state(ring.state())
        for at in range(1, NODES + 1):
            for query in ((ts, seq), (ts, seq + 1), (ts - 1, seq + 1), (ts + 1, 0)):
                assert read(ring, at, *query) == read(again, at, *query) == lists.before(at, *query)


def test_the_null_node_has_no_neighbours() -> None:
    ring = TemporalNeighbours(3)
    ring.grow(2)
    insert(ring, NUMPY, [(1, 5, 10, 0, 1, 0.0)])
    assert read(ring, 0, 99, 99) == set()


def test_a_node_that_was_undone_comes_back_empty() -> None:
    ring = TemporalNeighbours(2)
    ring.grow(3)
    insert(ring, NUMPY, [(2, 5, 10, 0, 1, 0.0)])
    ring.truncate(2)
    ring.grow(3)
    assert read(ring, 2, 99, 99) == set()
