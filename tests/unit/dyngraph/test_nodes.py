"""Node state: messages wait once, time never runs backwards, and forgetting leaves nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.nodes import NodeStore

DIM = 2


def store(nodes: int = 4) -> NodeStore:
    made = NodeStore(DIM, k=3)
    made.grow(nodes)
    return made


def send(nodes: NodeStore, rows: list[int], ts: list[int], other: float = 0.5) -> None:
    count = len(rows)
    nodes.keep_messages(
        torch.tensor(rows),
        torch.full((count, DIM), other),
        torch.full((count,), 4),
        torch.full((count,), 2.0),
        torch.tensor(ts),
    )


def content(nodes: NodeStore) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in nodes.state().items()}


def test_a_message_waits_until_memory_is_kept() -> None:
    nodes, row = store(), torch.tensor([2])
    send(nodes, [2], [100])
    assert nodes.waiting(row).pending.tolist() == [True]
    nodes.keep_memory(row, torch.ones(1, DIM))
    assert nodes.waiting(row).pending.tolist() == [False]
    assert nodes.waiting(row).own.tolist() == [[1.0, 1.0]]


def test_elapsed_time_is_none_at_first_and_never_negative() -> None:
    nodes = store()
    for ts, elapsed, last in ((1_000, 0, 1_000), (1_700, 700, 1_700), (1_200, 0, 1_700), (2_000, 300, 2_000)):
        send(nodes, [1], [ts])
        assert nodes.waiting(torch.tensor([1])).elapsed.tolist() == [elapsed]
        assert nodes.last_ts[1] == last


def test_an_event_at_time_zero_counts_as_one() -> None:
    nodes = store()
    send(nodes, [1], [0])
    send(nodes, [1], [40])
    assert nodes.waiting(torch.tensor([1])).elapsed.tolist() == [40]


def test_events_are_counted_with_repeats() -> None:
    nodes = store()
    nodes.count(torch.tensor([1, 3, 1, 1]))
    assert nodes.events.tolist() == [0, 3, 0, 1]


def test_writes_to_some_rows_leave_the_others_bit_for_bit() -> None:
    nodes = store()
    send(nodes, [1, 2], [5, 6])
    before = content(nodes)
    send(nodes, [3], [9])
    nodes.keep_applied(torch.tensor([3]), torch.ones(1, DIM))
    for name, value in nodes.state().items():
        assert value[:3].equal(before[name][:3])


def test_a_forgotten_node_is_as_if_never_seen() -> None:
    nodes, fresh = store(), content(store())
    send(nodes, [1, 2], [5, 6])
    nodes.keep_memory(torch.tensor([2]), torch.ones(1, DIM))
    nodes.keep_applied(torch.tensor([2]), torch.ones(1, DIM))
    nodes.count(torch.tensor([2]))
    one = torch.tensor([1])
    nodes.neighbours.insert(torch.tensor([2]), one, one, one, one, torch.ones(1))
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
