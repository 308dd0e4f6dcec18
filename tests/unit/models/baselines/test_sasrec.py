from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_logs import basket, cycles, mean_reciprocal_rank

from models.baselines import build_baseline
from models.baselines.sasrec import SASRec
from models.baselines.sasrec_network import SASRecNetwork
from models.baselines.sequences import Sequences

logs = st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(1, 9), min_size=1, max_size=6)), max_size=30)


def test_the_next_item_of_a_cycle_is_found() -> None:
    log = list(cycles(1_000))
    model = SASRec(width=16, length=10, first=200, interval=0.5, epochs=15, batch=100, lr=5e-3, dropout=0.1)
    assert mean_reciprocal_rank(build_baseline("popularity"), log, 900) < 0.3
    assert mean_reciprocal_rank(model, log, 900) > 0.7


def test_what_a_user_just_did_counts_without_training() -> None:
    model = SASRec(width=16, length=10, first=100, interval=10.0, epochs=5, batch=50, lr=5e-3)
    for event in cycles(500):
        model.learn(event)
    before = model.scores(5, event.ts)
    updates = model.updates
    model.follow(basket(5, [3], event.ts))
    assert model.updates == updates
    assert not np.array_equal(model.scores(5, event.ts), before)


def test_a_followed_event_is_never_trained_on() -> None:
    following, plain = (SASRec(width=8, length=5, first=20, interval=0.5, batch=10) for _ in range(2))
    for number, event in enumerate(cycles(100)):
        if number == 50:
            following.follow(basket(40, [1, 2, 3], event.ts))
        following.learn(event)
        plain.learn(event)
    for one, other in zip(following.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_state_knows_nothing_of_later_positions() -> None:
    torch.manual_seed(0)
    network = SASRecNetwork(width=8, layers=2, heads=2, length=6, dropout=0.0).eval()
    network.items = torch.nn.Embedding(10, 8)
    with torch.no_grad():
        one = network(torch.tensor([[0, 1, 2, 3, 4, 5]]))[0]
        other = network(torch.tensor([[0, 1, 2, 9, 8, 0]]))[0]
        short = network(torch.tensor([[0, 1, 2]]))[0]
    assert torch.allclose(one[:3], other[:3], atol=1e-6)
    assert torch.allclose(one[:3], short, atol=1e-6)
    assert not torch.allclose(one[3], other[3], atol=1e-3)


@given(logs, st.integers(2, 7), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_windows_hold_each_late_event_once_as_a_target_and_ask_before_its_basket(
    log: list[tuple[int, list[int]]], length: int, events: int
) -> None:
    sequences = Sequences()
    told: list[tuple[int, int, int]] = []
    counts: dict[int, int] = {}
    for user, items in log:
        start = counts.get(user, 0)
        told.extend((user, item, start) for item in items)
        counts[user] = start + len(items)
        sequences.learn(user, items)
    windows = sequences.windows(length, events, np.random.default_rng(0))
    assert sorted(windows.targets[windows.targets > 0].tolist()) == sorted(item for _, item, _ in told[-events:])
    histories = {user: [item for who, item, _ in told if who == user] for user in counts}
    for inputs, queries, targets in zip(*windows, strict=True):
        row = targets[targets > 0].tolist()
        assert inputs[0] == 0
        assert inputs[1 : len(row)].tolist() == row[:-1]
        assert any(
            items[at : at + len(row)] == row
            and all(
                query == max(0, start - at)
                for query, (_, _, start) in zip(
                    queries[: len(row)], [event for event in told if event[0] == user][at : at + len(row)], strict=True
                )
            )
            for user, items in histories.items()
            for at in range(len(items))
        )


def test_no_events_are_no_windows() -> None:
    assert Sequences().windows(5, 10, np.random.default_rng(0)).inputs.shape == (0, 5)
