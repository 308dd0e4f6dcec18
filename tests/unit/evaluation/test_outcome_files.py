"""Outcomes are built in any order, written whole, and read back as they were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_coded import drawn

from evaluation.protocols import Outcome, OutcomeBuilder, OutcomeFileError, Plan, load_outcome, save_outcome
from evaluation.protocols.prequential import prequential
from models.baselines import build_baseline

LOG = drawn(120)


def outcome() -> Outcome:
    return prequential(LOG, lambda: build_baseline("decayed-popularity"), Plan(sample=30))


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = outcome()
    save_outcome(saved, tmp_path / "deep" / "one.npz")
    loaded = load_outcome(tmp_path / "deep" / "one.npz")
    for field in dataclasses.fields(Outcome):
        one, two = getattr(saved, field.name), getattr(loaded, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == two.dtype and np.array_equal(one, two), field.name
        else:
            assert one == two, field.name
    assert loaded.settings == {"half_life_days": 7.0} and loaded.protocol["sample"] == 30


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    save_outcome(outcome(), path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_outcome(dataclasses.replace(outcome(), settings={"no": object()}), path)  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_outcome_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.npz"
    path.write_bytes(content)
    with pytest.raises(OutcomeFileError, match=r"odd\.npz: holds no outcome .*delete it and run the model again"):
        load_outcome(path)
    with pytest.raises(FileNotFoundError):
        load_outcome(tmp_path / "none.npz")


def test_events_may_be_added_in_any_order() -> None:
    builder = OutcomeBuilder(LOG, Plan(k=3), "by hand", {"made": "up"})
    for row, rank in ((70, 3.0), (61, 1.0), (65, np.inf)):
        builder.add(row, rank, [1 + row % 3])
    built = builder.outcome(seconds=2.0)
    assert built.row.tolist() == [61, 65, 70] and built.rank.tolist() == [1.0, np.inf, 3.0]
    assert built.top.tolist() == [[2, 0, 0], [3, 0, 0], [2, 0, 0]]
    assert built.user.tolist() == LOG.users[[61, 65, 70]].tolist()
    assert built.events_per_s == len(LOG) / 2
    assert builder.lately(2)["hr@3"] == 0.5


def test_a_list_longer_than_k_is_refused() -> None:
    with pytest.raises(ValueError, match="a list of 3 items is longer than k = 2"):
        OutcomeBuilder(LOG, Plan(k=2), "by hand", {}).add(1, 1.0, [1, 2, 3])
