"""What a finished run leaves behind: figures to read, ranks per user to compare runs with."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from safetensors.numpy import save_file

from evaluation.kept_files import KeptFileError, kept_arrays, kept_json
from evaluation.made_with import say_made_with
from evaluation.reasoning.full_ranking import FullRanks, figures
from evaluation.reasoning.held_out import Order
from evaluation.reasoning.training import Progress

NOTHING: Mapping[str, str] = MappingProxyType({})
SAME_FIGURE = 1e-6
"""Figures that are nearer are equal: numpy may add in another order on another machine."""


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
        """A finished run, or None where its figures or its ranks are not there.

        Raises :class:`KeptFileError` for a file that is torn, and for ranks that are not those of the figures.
        """
        path, beside = self._path(run, ".json"), self._path(run, ".ranks")
        if not (path.exists() and beside.exists()):
            return None
        outcome = kept_json(path, RunOutcome, "figures of a run")
        ranks = self.ranks(run)
        if not (_same(figures(ranks.masked), outcome.masked) and _same(figures(ranks.unmasked), outcome.unmasked)):
            raise KeptFileError(beside, f"holds other ranks than the figures in {path.name} are of")
        return outcome

    def ranks(self, run: Run) -> FullRanks:
        """Middle ranks by evaluated user, in the order of the test places. Raises :class:`KeptFileError`."""
        return FullRanks(**kept_arrays(self._path(run, ".ranks"), FullRanks._fields))

    def weights(self, run: Run) -> Path:
        """Where a run's checkpoint is."""
        return self._path(run, ".safetensors")

    def _path(self, run: Run, suffix: str) -> Path:
        return self.folder / f"{re.sub('[^a-z0-9]+', '-', run.row.lower())}.{run.order}.{run.seed}{suffix}"


def _same(ours: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    return ours.keys() == theirs.keys() and all(
        math.isclose(ours[name], theirs[name], abs_tol=SAME_FIGURE) for name in ours
    )
