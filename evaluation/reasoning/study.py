"""Runs of the study of reasoning graphs: each row goes on from the same trained base model of its order and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.intervals import Difference, paired_difference
from evaluation.kept_files import KeptFileError
from evaluation.metrics import gains
from evaluation.reasoning.bases import trained_base, untrained_base
from evaluation.reasoning.by_name import ByName, weight_of
from evaluation.reasoning.checkpoint import Checkpoint
from evaluation.reasoning.full_ranking import full_ranks
from evaluation.reasoning.held_out import HeldOutHistories, Order
from evaluation.reasoning.outcomes import Outcomes, Run, RunOutcome
from evaluation.reasoning.rows import BASE, TRAINED_ON, ChainBuilding, Row, row_named
from evaluation.reasoning.trainables import BaseTraining, FusedTraining
from evaluation.reasoning.training import Progress, Schedule, Tell, Trainable, train, validation_sample
from models.llmrg.chains import PlacedChains

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
        row = row_named(run.row) if run.row != BASE else None
        data = HeldOutHistories.of(self.log, run.order, run.seed)
        schedule = replace(self.base_schedule, seed=run.seed)
        base = trained_base(self._base_of(run), data, schedule, self.bases, self.device, tell)
        if row is None:
            return replace(base, row=BASE)
        if row.upon is not None:
            return self._by_name(run, row, data, tell)
        start = Checkpoint(self.bases.weights(self._base_of(run))).best()
        model = self._model(run, data, start)
        progress = train(model, data, replace(self.joint, seed=run.seed), self.rows.weights(run), tell)
        return self.rows.add(run, full_ranks(model, data.histories, data.tests), progress)

    def check(self, runs: Sequence[Run]) -> None:
        """What of ``runs`` and their base models is on disk can be read: before hours are spent on the others.

        Raises ValueError for a name that there is not, and :class:`~evaluation.kept_files.KeptFileError`.
        """
        for run in runs:
            if run.row != BASE:
                row_named(run.row)
            self.rows.find(run)
            base = self._base_of(run)
            if self.bases.find(base) and not self.bases.weights(base).exists():
                raise KeptFileError(
                    self.bases.weights(base), "no such file", "delete the .json of its name to train anew"
                )

    def finished(self, run: Run, data: HeldOutHistories, chains: PlacedChains | None = None) -> Trainable:
        """The trained model of a finished run that has weights; with ``chains`` over others than it learned with."""
        model = self._model(run, data, None, chains)
        weights = self.bases.weights(self._base_of(run)) if run.row == BASE else self.rows.weights(run)
        model.module.load_state_dict(Checkpoint(weights).best())
        model.module.eval()
        return model

    def against(self, row: str, other: str, order: Order, seeds: list[int], *, masked: bool) -> Difference:
        """NDCG@10 of ``row`` minus that of ``other``, per test user and seed, with an interval over users."""
        ours, theirs = (self._gains(name, order, seeds, masked=masked) for name in (row, other))
        users = np.concatenate([self.log.users[self._tested(order, seed)] for seed in seeds])
        return paired_difference(ours, theirs, users)

    def _base_of(self, run: Run) -> Run:
        return run._replace(row=self.base)

    def _by_name(self, run: Run, row: Row, data: HeldOutHistories, tell: Tell) -> RunOutcome:
        """A finished run ranked anew, what its row's graphs imagined added with the weight that suits validation."""
        upon = run._replace(row=row.upon or BASE)
        progress = Progress(**self.run(upon, tell).progress)
        model, chains = self.finished(upon, data), row.of(self.log, data, self.build)
        weight = weight_of(model, chains, validation_sample(data, replace(self.joint, seed=run.seed)))
        ranks = full_ranks(ByName(model, chains, weight), data.histories, data.tests)
        return self.rows.add(run, ranks, progress, weight)

    def _model(
        self,
        run: Run,
        data: HeldOutHistories,
        start: dict[str, torch.Tensor] | None,
        chains: PlacedChains | None = None,
    ) -> Trainable:
        """As a row begins, its base model with the weights ``start``."""
        base = untrained_base(self._base_of(run), data).to(self.device)
        if start is not None:
            base.load_state_dict(start)
        if run.row in (BASE, TRAINED_ON.name):
            return BaseTraining(base, data)
        row = row_named(run.row)
        chains = chains or row.of(self.log, data, self.build)
        return FusedTraining(base, row.fusion(base.config.dim, chains.vectors.shape[1], run.seed), data, chains)

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
