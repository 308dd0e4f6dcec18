from __future__ import annotations

import numpy as np
import torch
from planted_logs import HOUR, START, basket, tastes
from torch import nn

from models.baselines.gconvgru import SnapshotGraph
from models.baselines.growing_adam import GrowingAdam
from models.baselines.snapshot_network import SnapshotNetwork, States, snapshot

DAY = 24 * HOUR
MIDNIGHT = START - START % DAY


def test_only_a_closed_snapshot_is_seen() -> None:
    model = SnapshotGraph(width=8, least=1, updates=2)
    for event in tastes(200):
        model.learn(event)
    day = event.ts - event.ts % DAY + 2 * DAY
    model.learn(basket(1, [5], day))
    before = model.scores(1, day + HOUR)
    model.learn(basket(1, [7, 7, 7], day + HOUR))
    assert np.array_equal(model.scores(1, day + 2 * HOUR), before)
    model.learn(basket(2, [3], day + DAY))
    after = model.scores(1, day + DAY)
    assert not np.array_equal(after, before)
    assert after[7] - after[5] > before[7] - before[5]


def test_an_interval_with_too_few_events_runs_on() -> None:
    model = SnapshotGraph(width=8, least=4, updates=1)
    for day in range(4):
        model.learn(basket(1, [1, 2] if day < 3 else [3], MIDNIGHT + day * DAY))
        closed = not np.array_equal(model.scores(1, MIDNIGHT)[1:], np.bincount([1, 2] * (day + 1))[1:])
        assert closed == (day >= 2)


def test_a_snapshot_counts_pairs_and_links_both_ways() -> None:
    graph = snapshot(np.array([[7, 2], [7, 2], [4, 2], [7, 9]]))
    assert graph.users.tolist() == [4, 7]
    assert graph.items.tolist() == [2, 9]
    links = {(a, b): weight for (a, b), weight in zip(graph.edges.T.tolist(), graph.weights.tolist(), strict=True)}
    expected = {(0, 2): 1.0, (1, 2): float(np.log2(np.float32(3))), (1, 3): 1.0}
    assert {pair: round(weight, 5) for pair, weight in links.items()} == {
        ends: round(weight, 5) for (a, b), weight in expected.items() for ends in ((a, b), (b, a))
    }


def test_a_snapshot_moves_its_own_nodes_alone_and_every_weight_is_reached() -> None:
    torch.manual_seed(0)
    network = SnapshotNetwork(width=4, order=2)
    for table, rows in ((network.users, 5), (network.items, 6)):
        table.weight = nn.Parameter(torch.randn(rows, 4))
    before = States(torch.randn(5, 4), torch.randn(6, 4))
    after = network(before, snapshot(np.array([[1, 2], [3, 2], [3, 5]])))
    assert torch.nonzero((after.users != before.users).any(1)).flatten().tolist() == [1, 3]
    assert torch.nonzero((after.items != before.items).any(1)).flatten().tolist() == [2, 5]
    sum((part * torch.randn_like(part)).sum() for part in after).backward()
    for name, parameter in network.named_parameters():
        if name != "bias.weight":
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_adam_keeps_the_moments_of_old_rows_as_tables_grow() -> None:
    def steps(grow_after: int) -> torch.Tensor:
        table = nn.Embedding(4, 3)
        with torch.no_grad():
            table.weight.fill_(1.0)
        adam = GrowingAdam(table.parameters(), lr=0.1)
        for step in range(6):
            if step == grow_after:
                assert adam.make_room(table, 5, 1.0, torch.Generator().manual_seed(0))
                assert not adam.make_room(table, 5, 1.0, torch.Generator())
            adam.zero_grad()
            (table(torch.tensor([1, 2])) * (step + 1)).square().sum().backward()
            adam.step()
        return table.weight.detach()

    grown, plain = steps(grow_after=3), steps(grow_after=-1)
    assert torch.equal(grown[:4], plain)
    assert len(grown) == 8
    assert len(torch.unique(grown[4:])) == 12
