"""Training of a next-item model by epochs, stopped by validation, resumed where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.metrics import ndcg
from evaluation.reasoning.checkpoint import Checkpoint
from evaluation.reasoning.full_ranking import Scoring, full_ranks
from evaluation.reasoning.held_out import HeldOutHistories
from models.sequential.histories import Places


class Trainable(Scoring, Protocol):
    """What a training works on: a scorer that tells its loss."""

    @property
    def module(self) -> nn.Module:
        """What holds the weights."""

    def loss(self, places: Places, rng: np.random.Generator) -> Tensor:
        """``[]`` of the examples at these training places."""


@dataclass(frozen=True)
class Schedule:
    """How long and how: DuoRec's settings, but for the two that validation costs."""

    epochs: int = 50
    """At most so many."""
    patience: int = 5
    """Epochs without a better one before it ends; 10 in DuoRec."""
    batch: int = 256
    lr: float = 1e-3
    validated: int = 5_000
    """Validation users that are ranked after each epoch, drawn by ``seed``; all in DuoRec."""
    seed: int = 0


@dataclass
class Progress:
    """How far a training is, and what it has found."""

    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    best_score: float = -1.0
    """NDCG@10 among all items, history not masked, on the validation users."""
    scores: list[float] = field(default_factory=list)
    """Of each epoch."""
    seconds: float = 0.0
    """Spent in training, validation left out."""


Tell = Callable[[int, int, int, float], None]
"""Told after each update: epoch, updates done within it, and of how many, latest loss."""


def train(model: Trainable, data: HeldOutHistories, schedule: Schedule, path: Path, tell: Tell) -> Progress:
    """Train until validation gets no better, and leave the best weights in ``model``.

    All draws of an epoch come from (seed, epoch) alone. So the file at ``path``, written after each epoch, holds no
    random state, and a training that is stopped and started again gives the same weights bit for bit.
    """
    checkpoint, module = Checkpoint(path), model.module
    adam = torch.optim.Adam(module.parameters(), lr=schedule.lr, fused=True)
    progress, best = Progress(), _copied(module)
    if found := checkpoint.load(module, adam):
        best, progress = found[0], Progress(**found[1])
    asked = validation_sample(data, schedule)
    while progress.epoch < schedule.epochs and progress.epoch - progress.best_epoch < schedule.patience:
        begun = time.perf_counter()
        _epoch(model, adam, data.learned, schedule, progress.epoch + 1, tell)
        progress.seconds += time.perf_counter() - begun
        progress.epoch += 1
        score = ndcg(full_ranks(model, data.histories, asked).unmasked, 10)
        progress.scores.append(score)
        if score > progress.best_score:
            progress.best_epoch, progress.best_score, best = progress.epoch, score, _copied(module)
        checkpoint.save(module, best, adam, vars(progress))
    module.load_state_dict(best)
    module.eval()
    return progress


def _epoch(
    model: Trainable, adam: torch.optim.Optimizer, places: Places, schedule: Schedule, epoch: int, tell: Tell
) -> None:
    rng = np.random.default_rng([schedule.seed, epoch])
    model.module.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        shuffled = rng.permutation(places)
        updates = -(-len(shuffled) // schedule.batch)
        for done, at in enumerate(range(0, len(shuffled), schedule.batch), 1):
            loss = model.loss(shuffled[at : at + schedule.batch], rng)
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
            tell(epoch, done, updates, loss.item())
    model.module.eval()


def validation_sample(data: HeldOutHistories, schedule: Schedule) -> Places:
    """The validation places that a training looks at, rising."""
    places = data.validation
    if schedule.validated >= len(places):
        return places
    return np.sort(np.random.default_rng(schedule.seed).choice(places, schedule.validated, replace=False))


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
