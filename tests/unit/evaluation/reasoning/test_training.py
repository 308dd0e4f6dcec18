from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reasoning_rig import Averaging, circling, split

from evaluation.metrics import ndcg
from evaluation.reasoning.checkpoint import Checkpoint
from evaluation.reasoning.full_ranking import full_ranks
from evaluation.reasoning.training import Progress, Schedule, train

SCHEDULE = Schedule(epochs=5, patience=9, batch=32, lr=0.03)


class Stopped(Exception):
    """What a killed process looks like from within."""


def untrained() -> Averaging:
    torch.manual_seed(0)
    return Averaging(12, split(circling()).histories)


def silent(epoch: int, done: int, updates: int, loss: float) -> None:
    """Tell nobody."""


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    data = split(circling())
    whole = untrained()
    expected = train(whole, data, SCHEDULE, tmp_path / "whole.safetensors", silent)

    def stop(epoch: int, done: int, updates: int, loss: float) -> None:
        if (epoch, done) == (3, 2):
            raise Stopped

    with pytest.raises(Stopped):
        train(untrained(), data, SCHEDULE, tmp_path / "parts.safetensors", stop)
    torch.manual_seed(99)
    resumed = untrained()
    found = train(resumed, data, SCHEDULE, tmp_path / "parts.safetensors", silent)

    assert found.scores == expected.scores and found.epoch == 5
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_it_learns_and_leaves_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    data, model = split(circling()), untrained()
    before = ndcg(full_ranks(model.eval(), data.histories, data.validation).unmasked, 10)
    progress = train(model, data, replace(SCHEDULE, epochs=12), tmp_path / "c.safetensors", silent)
    after = ndcg(full_ranks(model, data.histories, data.validation).unmasked, 10)
    assert after > before + 0.1
    assert after == max(progress.scores) == progress.best_score == progress.scores[progress.best_epoch - 1]


def test_it_ends_when_validation_gets_no_better(tmp_path: Path) -> None:
    schedule = Schedule(epochs=50, patience=2, batch=32, lr=0.0)
    progress = train(untrained(), split(circling()), schedule, tmp_path / "c.safetensors", silent)
    assert (progress.epoch, progress.best_epoch) == (3, 1)


def test_the_test_items_have_no_part_in_training_or_in_stopping_it(tmp_path: Path) -> None:
    found = []
    for change in (False, True):
        data = split(circling())
        if change:
            data.histories.items[data.tests] = 1 + data.histories.items[data.tests] % 12
        torch.manual_seed(0)
        model = Averaging(12, data.histories)
        progress = train(model, data, SCHEDULE, tmp_path / f"{change}.safetensors", silent)
        found.append((progress.scores, model.table.weight.detach().numpy()))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_a_checkpoint_of_another_model_is_refused_and_a_missing_one_named(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    model = untrained()
    Checkpoint(path).save(model, untrained().state_dict(), torch.optim.Adam(model.parameters()), vars(Progress()))
    other = Averaging(5, split(circling()).histories)
    with pytest.raises(ValueError, match="is of another model"):
        Checkpoint(path).load(other, torch.optim.Adam(other.parameters()))
    path.write_bytes(path.read_bytes()[:-7])
    for read in (
        lambda: Checkpoint(path).best(),
        lambda: Checkpoint(path).load(other, torch.optim.Adam(other.parameters())),
    ):
        with pytest.raises(ValueError, match=r"c\.safetensors: holds no checkpoint .*; delete it, .* to train anew"):
            read()
    with pytest.raises(FileNotFoundError, match="train the base model first"):
        Checkpoint(tmp_path / "none.safetensors").best()
