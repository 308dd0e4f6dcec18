"""Runs of the study of reasoning graphs: each row goes on from the same trained base model of its order and seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.intervals import Difference, paired_difference
from evaluation.metrics import gains
from evaluation.reasoning.bases import trained_base, untrained_base
from evaluation.reasoning.checkpoint import Checkpoint
from evaluation.reasoning.full_ranking import full_ranks
from evaluation.reasoning.held_out import HeldOutHistories, Order
from evaluation.reasoning.outcomes import Outcomes, Run, RunOutcome
from evaluation.reasoning.rows import BASE, TRAINED_ON, ChainBuilding, row_named
from evaluation.reasoning.trainables import BaseTraining, FusedTraining
from evaluation.reasoning.training import Schedule, Tell, Trainable, train

CPU = torch.device("cpu")
BASE_SCHEDULE = Schedule()
JOINT = Schedule(epochs=5, patience=2)
"""Of the epochs that a row adds. Training each row from nothing would cost as much as its base model; so all start from
the same weights, and the row "base, trained on" shows what the added epochs alone bring."""


@dataclass(frozen=True)
class Study:
    """Where things are and how they are made."""

    log: CodedLog
    base: str
    """``duorec`` or ``sasrec``."""
    bases: Outcomes
    """Finished base models are looked up here, and put here."""
    rows: Outcomes
    build: ChainBuilding | None = None
    """Who makes reasoning graphs; None for rows that need none."""
    base_schedule: Schedule = BASE_SCHEDULE
    joint: Schedule = JOINT
    device: torch.device = CPU

    def run(self, run: Run, tell: Tell) -> RunOutcome:
        """A finished run of a row, from the folder or made now, from its last epoch if there was one."""
        if found := self.rows.find(run):
            return found
        if run.row != BASE:
            row_named(run.row)
        data = HeldOutHistories.of(self.log, run.order, run.seed)
        base_run = Run(self.base, run.order, run.seed)
        base = trained_base(base_run, data, replace(self.base_schedule, seed=run.seed), self.bases, self.device, tell)
        if run.row == BASE:
            return replace(base, row=BASE)
        weights = Checkpoint(self.bases.weights(base_run)).best()
        model = self._trainable(run, data, weights)
        progress = train(model, data, replace(self.joint, seed=run.seed), self.rows.weights(run), tell)
        return self.rows.add(run, full_ranks(model, data.histories, data.tests), progress)

    def against(self, row: str, other: str, order: Order, seeds: list[int], *, masked: bool) -> Difference:
        """NDCG@10 of ``row`` minus that of ``other``, per test user and seed, with an interval over users."""
        ours, theirs = (self._gains(name, order, seeds, masked=masked) for name in (row, other))
        users = np.concatenate([self.log.users[self._tested(order, seed)] for seed in seeds])
        return paired_difference(ours, theirs, users)

    def _trainable(self, run: Run, data: HeldOutHistories, weights: dict[str, torch.Tensor]) -> Trainable:
        base = untrained_base(Run(self.base, run.order, run.seed), data).to(self.device)
        base.load_state_dict(weights)
        row = row_named(run.row)
        if row is TRAINED_ON:
            return BaseTraining(base, data)
        chains = row.of(self.log, data, self.build)
        fusion = row.fusion(base.config.dim, chains.vectors.shape[1], run.seed)
        return FusedTraining(base, fusion, data, chains)

    def _gains(self, row: str, order: Order, seeds: list[int], *, masked: bool) -> NDArray[np.float64]:
        found = []
        for seed in seeds:
            ranks = (
                self.bases.ranks(Run(self.base, order, seed)) if row == BASE else self.rows.ranks(Run(row, order, seed))
            )
            found.append(gains(ranks.masked if masked else ranks.unmasked, 10))
        return np.concatenate(found)

    def _tested(self, order: Order, seed: int) -> NDArray[np.int64]:
        data = HeldOutHistories.of(self.log, order, seed)
        return data.rows[data.tests]
