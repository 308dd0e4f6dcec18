"""Node state: a message waits, time never runs backwards, and forgetting leaves nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dyngraph.arrays import NUMPY, Arrays, TorchArrays
from dyngraph.nodes import NodeStore

DIM, MESSAGE = 2, 3
FIXED = TorchArrays(fixed_shapes=True)


def store(nodes: int = 4, xp: Arrays = NUMPY) -> NodeStore:
    made = NodeStore(DIM, k=3, message=MESSAGE, vector_dim=1, arrays=xp)
    made.grow(nodes)
    return made


def send(nodes: NodeStore, rows: list[int], ts: list[int], memory: float = 0.5, xp: Arrays = NUMPY) -> None:
    """One event for each of ``rows``; nodes may repeat."""
    runs = xp.runs(xp.of(torch.tensor(rows)))
    groups = len(runs.sizes)
    wide = xp.blank(groups, MESSAGE) + 7
    nodes.keep(runs.distinct, xp.blank(groups, DIM) + memory, wide, xp.blank(groups, DIM) + 2 * memory)
    nodes.met(runs, xp.take(xp.of(torch.tensor(ts)), runs.last))


def content(nodes: NodeStore) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in nodes.state().items()}


def test_memory_and_the_message_that_waits_are_kept_side_by_side() -> None:
    nodes, row = store(), np.array([2])
    assert nodes.waiting(row).pending.tolist() == [False]
    send(nodes, [2], [100])
    own, message, pending = nodes.waiting(row)
    assert (own.tolist(), message.tolist(), pending.tolist()) == ([[0.5, 0.5]], [[7.0, 7.0, 7.0]], [True])
    assert nodes.applied[2].tolist() == [1.0, 1.0]


def test_elapsed_time_is_none_at_first_and_never_negative() -> None:
    nodes, row = store(), np.array([1])
    for ts, elapsed, last in ((1_000, 0, 1_000), (1_700, 700, 1_700), (1_200, 0, 1_700), (2_000, 300, 2_000)):
        assert nodes.elapsed(row, np.array([ts])).tolist() == [elapsed]
        send(nodes, [1], [ts])
        assert nodes.last_ts[1] == last


def test_an_event_at_time_zero_counts_as_one() -> None:
    nodes = store()
    send(nodes, [1], [0])
    assert nodes.elapsed(np.array([1]), np.array([40])).tolist() == [40]


@pytest.mark.parametrize("xp", [NUMPY, FIXED], ids=["numpy", "fixed shapes"])
def test_events_are_counted_with_repeats_and_the_null_node_stays_null(xp: Arrays) -> None:
    nodes = store(xp=xp)
    null = content(nodes)
    send(nodes, [1, 3, 1, 1], [4, 5, 6, 7], xp=xp)
    assert nodes.events.tolist() == [0, 3, 0, 1]
    assert nodes.last_ts.tolist() == [-1, 7, -1, 5]
    assert all(value[0].equal(null[name][0]) for name, value in nodes.state().items())


def test_writes_to_some_rows_leave_the_others_bit_for_bit() -> None:
    nodes = store()
    send(nodes, [1, 2], [5, 6])
    before = content(nodes)
    send(nodes, [3], [9])
    for name, value in nodes.state().items():
        assert value[:3].equal(before[name][:3])


def test_a_forgotten_node_is_as_if_never_seen() -> None:
    nodes, fresh = store(), content(store())
    send(nodes, [1, 2], [5, 6])
    nodes.describe(torch.tensor([2]), torch.ones(1, 1))
    one, row = np.array([1]), np.array([2])
    nodes.neighbours.insert(row, NUMPY.runs(row), one, one, one, one, np.ones((1, 1)))
    nodes.forget(2)
    assert all(value[2].equal(fresh[name][2]) for name, value in nodes.state().items())
    assert nodes.last_ts[1] == 5


def test_state_restores_everything_and_undone_growth_leaves_nothing() -> None:
    nodes, again = store(3), store(1)
    send(nodes, [1, 2], [5, 6])
    before = content(nodes)
    nodes.grow(90)
    send(nodes, [80], [7])
    nodes.truncate(3)
    assert all(value.equal(before[name]) for name, value in nodes.state().items())
    nodes.grow(90)
    assert nodes.last_ts[3:].eq(-1).all()
    again.load_state(before)
    assert all(value.equal(before[name]) for name, value in again.state().items())
