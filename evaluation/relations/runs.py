"""One training of one row, on disk: found again, so that a stopped study goes on where it stood."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from evaluation.kept_files import kept_json
from evaluation.relations.model import TabledLrd
from evaluation.relations.rows import Row
from evaluation.relations.training import (
    Budget,
    Tell,
    against,
    ranks_among,
    ranks_of_all,
    silent,
    train,
    validated,
)
from evaluation.relations.world import World
from models.lrd.config import LrdConfig
from models.lrd.posterior import log_posterior

VALIDATED = 2_000
FULL_UP_TO = 2_000_000
"""Pairs of user and item that are still ranked in full."""


class Run(msgspec.Struct, frozen=True):
    """What came of it."""

    data: str
    row: str
    seed: int
    config: LrdConfig
    budget: dict[str, int]
    epoch: int
    """The best one, from 1."""
    validation: list[float]
    """NDCG@5 on validation users after each epoch."""
    losses: dict[str, list[float]]
    seconds: float
    users: list[int]
    """Test users, as rows of the coded log."""
    ranks: list[float]
    """Middle rank of each one's test item among it and 99 drawn ones, the same for all rows of a seed."""
    full: list[float] | None
    """The same among all items that the user has nothing else with; None for logs where that is too many."""
    relations: list[str]
    usage: list[float]
    """Share of the test users' pairs (past item, test item) by their most probable relation; empty without text."""
    belief: list[float]
    """Mean q over the same pairs: where it is nearly flat, the most probable relation says little."""
    validation_ranks: list[float]
    """Middle rank of validation items, of more users than the best epoch was chosen on: for choosing settings."""


def path_of(folder: Path, data: str, row: Row, config: LrdConfig, budget: Budget) -> Path:
    """Where a run lies: its name says what it is, its mark holds every setting."""
    settings = msgspec.json.encode((config, asdict(budget), row.texts), order="sorted")
    mark = hashlib.blake2b(settings, digest_size=4).hexdigest()
    name = re.sub(r"[^a-z0-9]+", "-", row.name.lower()).strip("-")
    return folder / data / f"{name}-seed-{config.seed}-{mark}.json"


def load(path: Path) -> Run:
    """A run from its file. Raises ValueError for a file that holds none."""
    return kept_json(path, Run, "run of this version")


def carry_out(
    path: Path,
    data: str,
    row: Row,
    config: LrdConfig,
    world: World,
    texts: torch.Tensor,
    budget: Budget,
    tell: Tell = silent,
) -> Run:
    """Train, rank, keep the figures at ``path`` and the weights beside it; a reader sees all of a file or nothing."""
    trained = train(config, world, texts, budget, tell)
    tests, validation = world.split.tests, validated(world, VALIDATED, config.seed)
    model, everything = trained.model, world.everything
    used = usage_of(model, tests.past, tests.targets)
    affordable = len(tests) * world.n_items <= FULL_UP_TO
    run = Run(
        data=data,
        row=row.name,
        seed=config.seed,
        config=config,
        budget=asdict(budget),
        epoch=trained.epoch,
        validation=trained.validation,
        losses=trained.losses,
        seconds=trained.seconds,
        users=tests.users.tolist(),
        ranks=ranks_among(model, tests, against(everything, tests, config.seed)).tolist(),
        full=ranks_of_all(model, tests, everything).tolist() if affordable else None,
        relations=list(model.network.relations.names),
        usage=used.most_probable.tolist(),
        belief=used.mean.tolist(),
        validation_ranks=ranks_among(model, validation, against(everything, validation, config.seed + 1)).tolist(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(path.with_suffix(".safetensors"), lambda to: save_file(model.state_dict(), to))
    _put(path, lambda to: to.write_bytes(msgspec.json.encode(run)))
    return run


class Usage(NamedTuple):
    """How much of it each relation is; both empty for a model without posterior."""

    most_probable: NDArray[np.float64]
    """``[R]`` share of pairs."""
    mean: NDArray[np.float64]
    """``[R]`` of q."""


@torch.no_grad()
def usage_of(model: TabledLrd, past: NDArray[np.int64], targets: NDArray[np.int64]) -> Usage:
    """Over the pairs of ``past [N, H]`` and ``targets [N]``."""
    posterior = model.network.posterior
    if posterior is None:
        return Usage(np.zeros(0), np.zeros(0))
    halves = posterior.halves(model.texts)
    row, slot = np.nonzero(past)
    counts, sums = np.zeros(posterior.relations), np.zeros(posterior.relations)
    for start in range(0, len(row), 100_000):
        some = slice(start, start + 100_000)
        one, other = torch.from_numpy(past[row[some], slot[some]]), torch.from_numpy(targets[row[some]])
        log_q = log_posterior(halves.past[one].unsqueeze(1), halves.candidate[other].unsqueeze(1)).flatten(0, 2)
        counts += np.bincount(log_q.argmax(1).numpy(), minlength=len(counts))
        sums += log_q.exp().double().sum(0).numpy()
    return Usage(counts / len(row), sums / len(row))


def _put(path: Path, write: Callable[[Path], object]) -> None:
    unfinished = path.with_name(path.name + ".part")
    write(unfinished)
    unfinished.replace(path)
