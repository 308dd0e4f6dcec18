"""The encoder's memory agrees with a reference that takes one event after another, one vector at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from unit.dyngraph.small_logs import EVERY_KIND, cut, event, random_log

from dyngraph.engine import Engine
from dyngraph.events import EventType, Interaction
from dyngraph.nodes import NodeStore
from models.system import SystemConfig, build_engine
from models.tgn import TGN, TGNConfig

DIM = 8
CONFIG = SystemConfig(tgn=TGNConfig(dim=DIM, time_dim=4, neighbours=3), seed=5)
Log = Sequence[tuple[int, Interaction]]


@dataclass
class Message:
    other: Tensor
    kind: int
    value: float
    elapsed: int


@dataclass
class Node:
    memory: Tensor
    waiting: Message | None = None
    last_ts: int = -1


class Reference:
    """Rossi et al. 2020 by the letter: apply what waits, then store the last message of every node of the batch."""

    def __init__(self, encoder: TGN) -> None:
        self.sides = {"user": encoder.user, "item": encoder.item}
        self.nodes: dict[tuple[str, str], Node] = {}

    def applied(self, key: tuple[str, str]) -> Tensor:
        node, side = self.nodes[key], self.sides[key[0]]
        if node.waiting is None:
            return node.memory
        kind, value = torch.tensor(node.waiting.kind), torch.tensor(node.waiting.value)
        elapsed = torch.tensor(node.waiting.elapsed)
        message = torch.cat((node.memory, node.waiting.other, side.edges(kind, value), side.clock(elapsed)))
        cell, h = side.update, node.memory
        ir, iz, new_in = (cell.weight_ih @ message + cell.bias_ih).chunk(3)
        hr, hz, new_h = (cell.weight_hh @ h + cell.bias_hh).chunk(3)
        reset, update = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
        return (1 - update) * torch.tanh(new_in + reset * new_h) + update * h

    def step(self, batch: Log) -> None:
        events = sorted(batch, key=lambda entry: (entry[1].ts, entry[0]))
        touched = [(("user", one.user_id), ("item", one.item_id)) for _, one in events]
        for key in (key for pair in touched for key in pair):
            self.nodes.setdefault(key, Node(torch.zeros(DIM)))
        for key in {key for pair in touched for key in pair}:
            self.nodes[key].memory, self.nodes[key].waiting = self.applied(key), None
        seen_before = {key: self.nodes[key].last_ts for pair in touched for key in pair}
        for (_, one), (user, item) in zip(events, touched, strict=True):
            for key, other in ((user, item), (item, user)):
                last = seen_before[key]
                elapsed = max(one.ts - last, 0) if last >= 0 else 0
                other_memory = self.nodes[other].memory
                self.nodes[key].waiting = Message(other_memory, one.event_type, one.value or 0.0, elapsed)
                self.nodes[key].last_ts = max(self.nodes[key].last_ts, one.ts)


def compare(engine: Engine, reference: Reference) -> None:
    graph = engine.graph
    for (side, name), node in reference.nodes.items():
        store, ids = (graph.users, graph.user_ids) if side == "user" else (graph.items, graph.item_ids)
        row = ids.find([name])
        torch.testing.assert_close(store.waiting(row).own[0], node.memory, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(store.applied[row][0], reference.applied((side, name)), atol=1e-5, rtol=1e-5)
        assert bool(store.waiting(row).pending[0]) == (node.waiting is not None)
        assert int(store.last_ts[row][0]) == node.last_ts


def late(log: Log) -> Log:
    """The same log with one event that comes late, an hour before its neighbours."""
    middle = len(log) // 2
    seq, one = log[middle]
    return [*log[:middle], event(seq, one.user_id, one.item_id, ts=one.ts - 3_600_000), *log[middle + 1 :]]


@pytest.mark.parametrize("size", [1, 7, 24])
@torch.no_grad()
def test_memory_is_that_of_the_reference(size: int) -> None:
    log = late(random_log(24, users=3, items=4, seed=11, kinds=EVERY_KIND))
    engine = build_engine(CONFIG)
    assert isinstance(engine.encoder, TGN)
    reference = Reference(engine.encoder)
    for step in cut(log, size):
        engine.step(step, learn=False)
        reference.step(step)
        compare(engine, reference)


def rows(store: NodeStore, keep: Tensor) -> dict[str, Tensor]:
    return {name: value[keep].clone() for name, value in store.state().items()}


def test_idle_nodes_keep_everything_bit_for_bit_also_when_drawn_as_negatives() -> None:
    engine = build_engine(CONFIG)
    for step in cut(random_log(64, users=6, items=9, seed=2), 8):
        engine.step(step)
    version, graph = engine.encoder.version, engine.graph
    user, item = graph.user_ids.find(["user-1"]), graph.item_ids.find(["item-2"])
    idle_users = torch.tensor([row for row in range(len(graph.user_ids)) if row != int(user)])
    idle_items = torch.tensor([row for row in range(len(graph.item_ids)) if row != int(item)])
    before = rows(graph.users, idle_users), rows(graph.items, idle_items)
    for seq in range(64, 128):
        engine.step([event(seq, "user-1", "item-2", EventType.VIEW, ts=graph.horizon.ts + 1_000)])
    assert engine.encoder.version > version, "nothing was learned, so the test shows nothing"
    for earlier, now in zip(before, (rows(graph.users, idle_users), rows(graph.items, idle_items)), strict=True):
        assert all(earlier[name].equal(now[name]) for name in earlier)


def test_asking_for_lists_changes_no_bit() -> None:
    engine = build_engine(CONFIG)
    for step in cut(random_log(24, seed=2), 8):
        engine.step(step)
    before = engine.digest()
    engine.recommend(["user-1", "user-2", "nobody"], k=5)
    assert engine.digest() == before


def test_a_message_is_applied_once_however_often_it_is_read() -> None:
    engine = build_engine(CONFIG)
    engine.step([event(0, "ann", "tea")], learn=False)
    row = engine.graph.user_ids.find(["ann"])
    once = engine.graph.users.applied[row].clone()
    for seq in range(1, 4):
        engine.recommend(["ann"])
        engine.step([event(seq, "bob", "milk")], learn=False)
    assert engine.graph.users.applied[row].equal(once)
    engine.step([event(4, "ann", "rum")], learn=False)
    assert engine.graph.users.waiting(row).own.equal(once)
