"""What profiles and reasoning graphs share: three versions by horizon, with a row of every table beside each body."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import torch

from dyngraph.growable import Growable
from dyngraph.state import digest
from dyngraph.versions import VERSIONS, Versions


class Note(msgspec.Struct, frozen=True):
    """A body."""

    text: str


def made() -> tuple[Versions[Note], Growable]:
    table = Growable((VERSIONS, 2), torch.float32)
    return Versions(Note, {"numbers": table}), table


def add(kept: Versions[Note], table: Growable, row: int, ts: int) -> None:
    slot, place = kept.add(row, ts, events=ts + 1, body=Note(f"{row} at {ts}"))
    table.rows[slot, place] = (row, ts)


def test_a_version_counts_strictly_after_its_horizon_and_of_those_the_newest() -> None:
    kept, table = made()
    for ts in (10, 20, 30, 40):
        add(kept, table, 7, ts)
    found = kept.found(torch.full((6,), 7), torch.tensor([20, 21, 30, 31, 40, 41]))
    assert found.ts.tolist() == [-1, 20, 20, 30, 30, 40]
    assert found.events.tolist() == [0, 21, 21, 31, 31, 41]
    assert found.valid.sum(1).tolist() == [0, 1, 1, 2, 2, 3]
    assert [kept.newest(7, ts) for ts in (20, 21, 41)] == [None, 0, 2]
    assert kept.of(7) == [Note(f"7 at {ts}") for ts in (20, 30, 40)]
    assert [kept.moment(7, place) for place in range(3)] == [(20, 21), (30, 31), (40, 41)]


def test_a_horizon_at_the_very_beginning_counts() -> None:
    kept, table = made()
    add(kept, table, 1, 0)
    assert kept.found(torch.tensor([1, 1]), torch.tensor([0, 1])).ts.tolist() == [-1, 0]
    assert kept.newest_ts(1) == 0
    assert kept.newest_ts(2) == -1


def test_whatever_comes_and_goes_each_body_stays_beside_its_numbers() -> None:
    rng = random.Random(4)
    kept, table = made()
    plain: dict[int, list[int]] = {}
    for ts in range(400):
        row = rng.randint(1, 9)
        if rng.random() < 0.15:
            kept.forget(row)
            plain.pop(row, None)
        else:
            add(kept, table, row, ts)
            plain[row] = [*plain.get(row, []), ts][-VERSIONS:]
        if rng.random() < 0.1:
            state = {name: value.clone() for name, value in kept.state().items()}
            kept, table = made()
            kept.load_state(state)
            assert digest(kept.state()) == digest(state)
        assert len(kept) == len(plain)
        for user, moments in plain.items():
            assert kept.of(user) == [Note(f"{user} at {moment}") for moment in moments]
            numbers = table.rows[kept.slot(user), : len(moments)].tolist()
            assert numbers == [[user, moment] for moment in moments]
        users = np.arange(12)
        assert kept.horizons(users).ts.tolist() == [max(plain.get(user, [-1])) for user in range(12)]
        assert not kept.of(0), "nobody's slot stays empty"


def test_forgetting_leaves_nothing_in_the_state_but_the_others() -> None:
    kept, table = made()
    other, beside = made()
    for ts, row in ((1, 3), (2, 5), (3, 8)):
        add(kept, table, row, ts)
        if row != 5:
            add(other, beside, row, ts)
    kept.forget(5)
    kept.forget(5)
    kept.forget(1_000)
    assert digest(kept.state()) == digest(other.state())
