"""What a finished run leaves behind: figures to read, ranks per user to compare runs with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from safetensors.numpy import load_file, save_file

from evaluation.made_with import say_made_with
from evaluation.reasoning.full_ranking import FullRanks, figures
from evaluation.reasoning.held_out import Order
from evaluation.reasoning.training import Progress

NOTHING: Mapping[str, str] = MappingProxyType({})


class Run(NamedTuple):
    """One row of a table, in one order, under one seed."""

    row: str
    order: Order
    seed: int


@dataclass(frozen=True)
class RunOutcome:
    """Figures of a finished run."""

    row: str
    order: Order
    seed: int
    masked: dict[str, float]
    unmasked: dict[str, float]
    progress: dict[str, Any]
    """See :class:`~evaluation.reasoning.training.Progress`."""
    weight: float | None = None
    """Of imagined items by name, where they are added, see :mod:`evaluation.reasoning.by_name`."""


class Outcomes:
    """A folder with the figures, the ranks and the weights of each run."""

    def __init__(self, folder: Path, made_with: Mapping[str, str] = NOTHING) -> None:
        """``made_with`` says what all runs of a folder share beside row, order and seed; it is kept in the folder.

        Raises ValueError for a folder whose runs were made with something else: they cannot be compared.
        """
        self.folder = folder
        if made_with:
            say_made_with(folder, made_with)

    def add(self, run: Run, ranks: FullRanks, progress: Progress, weight: float | None = None) -> RunOutcome:
        """Keep a finished run."""
        outcome = RunOutcome(*run, figures(ranks.masked), figures(ranks.unmasked), vars(progress), weight)
        path = self._path(run, ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(ranks._asdict(), self._path(run, ".ranks"))
        # Last, because this file says that the run is finished.
        written = self._path(run, ".writing")
        written.write_text(json.dumps(asdict(outcome), indent=1))
        written.replace(path)
        return outcome

    def find(self, run: Run) -> RunOutcome | None:
        """A finished run, or None."""
        path = self._path(run, ".json")
        return RunOutcome(**json.loads(path.read_text())) if path.exists() else None

    def ranks(self, run: Run) -> FullRanks:
        """Middle ranks by evaluated user, in the order of the test places."""
        return FullRanks(**load_file(self._path(run, ".ranks")))

    def weights(self, run: Run) -> Path:
        """Where a run's checkpoint is."""
        return self._path(run, ".safetensors")

    def _path(self, run: Run, suffix: str) -> Path:
        return self.folder / f"{re.sub('[^a-z0-9]+', '-', run.row.lower())}.{run.order}.{run.seed}{suffix}"
