"""Base models trained once per order and seed, and found again by whoever starts from them."""

from __future__ import annotations

import msgspec
import torch

from evaluation.reasoning.full_ranking import full_ranks
from evaluation.reasoning.held_out import HeldOutHistories
from evaluation.reasoning.outcomes import Outcomes, Run, RunOutcome
from evaluation.reasoning.trainables import BaseTraining
from evaluation.reasoning.training import Schedule, Tell, train
from models.sequential.base import SequentialModel
from models.sequential.config import DUOREC, SASREC

BASES = {"duorec": DUOREC, "sasrec": SASREC}


def trained_base(
    run: Run, data: HeldOutHistories, schedule: Schedule, outcomes: Outcomes, device: torch.device, tell: Tell
) -> RunOutcome:
    """The finished run of base model ``run.row``; trained first, from its last epoch if there was one, where there is
    none. Its weights are :meth:`Outcomes.weights`."""
    if found := outcomes.find(run):
        return found
    model = BaseTraining(untrained_base(run, data).to(device), data)
    progress = train(model, data, schedule, outcomes.weights(run), tell)
    return outcomes.add(run, full_ranks(model, data.histories, data.tests), progress)


def untrained_base(run: Run, data: HeldOutHistories) -> SequentialModel:
    """Base model ``run.row`` as it starts. Raises ValueError for an unknown one."""
    if run.row not in BASES:
        raise ValueError(f"base model {run.row!r} is unknown; use one of: {', '.join(BASES)}")
    return SequentialModel(data.n_items, msgspec.structs.replace(BASES[run.row], seed=run.seed))
