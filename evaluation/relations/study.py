"""Rows × seeds of one data set, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from safetensors import SafetensorError
from safetensors.torch import load_file

from dyngraph.relations import RelationTable
from evaluation.coded import CodedLog
from evaluation.intervals import Difference, paired_difference
from evaluation.kept_files import KeptFileError
from evaluation.made_with import say_made_with
from evaluation.metrics import gains, hits
from evaluation.profiles.stock import TextModel
from evaluation.relations.rows import ROWS, Row
from evaluation.relations.runs import Run, carry_out, load, path_of
from evaluation.relations.tables import relation_table
from evaluation.relations.training import Budget, Tell, build
from evaluation.relations.world import check_negatives, text_rows, world_of
from models.lrd.config import LrdConfig
from models.lrd.usage import effective_slots

COMMON = LrdConfig(dim=32, heads=2, lr=3e-3, lambda_=1.0)
"""What all rows share: half the release's width, three times its rate, which needs fewer epochs, and a tenth of its λ,
with which validation rises as fast as without."""


class Study:
    """Trains what is not on disk yet."""

    def __init__(
        self, log: CodedLog, data: str, folder: Path, *, common: LrdConfig, budget: Budget, shuffle: int | None = None
    ) -> None:
        """``data`` names the set, and how it is shuffled, in file names and tables; ``folder`` keeps the runs.

        Raises ValueError where it has runs of another log or catalogue by this name, and for a log in which a true
        item cannot be ranked among 99 others.
        """
        check_negatives(log, shuffle)
        self._log, self._folder, self._common, self._budget = log, folder, common, budget
        self._world = world_of(log, history=common.history, shuffle=shuffle)
        say_made_with(folder / data, {"log": log.digest, "catalogue": log.catalogue_digest})
        self.data = data
        self._texts: dict[TextModel, torch.Tensor] = {}

    def run(self, row: Row, seed: int, tell: Callable[[Row, int], Tell]) -> Run:
        """From disk, or trained now. Raises ValueError for a file that holds no run."""
        if found := self.found(row, seed):
            return found
        path, config = self._path(row, seed), row.config(self._common, seed)
        return carry_out(
            path, self.data, row, config, self._world, self._text(row.texts), self._budget, tell(row, seed)
        )

    def found(self, row: Row, seed: int) -> Run | None:
        """The run from disk, or None. Raises ValueError for a file that holds none."""
        path = self._path(row, seed)
        return load(path) if path.exists() else None

    def table(self, row: Row, seed: int) -> RelationTable:
        """The named relation table of a run that is on disk.

        Raises ValueError for a row that reads no text, and for weights that cannot be read.
        """
        path = self._path(row, seed)
        config = row.config(self._common, seed)
        model = build(config, self._world, self._text(row.texts))
        weights = path.with_suffix(".safetensors")
        try:
            model.load_state_dict(load_file(weights))
        except (SafetensorError, RuntimeError, FileNotFoundError) as error:
            fix = f"delete {path.name} beside it to train the run again"
            raise KeptFileError(weights, f"holds no weights of this model ({error})", fix) from error
        return relation_table(model, self._world, self._log)

    def kept(self, row: Row, seed: int) -> bool:
        """Whether the run is on disk."""
        return self._path(row, seed).exists()

    @property
    def epochs(self) -> int:
        """Most epochs of a run."""
        return self._budget.epochs

    def _path(self, row: Row, seed: int) -> Path:
        return path_of(self._folder, self.data, row, row.config(self._common, seed), self._budget)

    def _text(self, model: TextModel) -> torch.Tensor:
        if model not in self._texts:
            self._texts[model] = text_rows(self._log, model)
        return self._texts[model]


def improvement(runs: Sequence[Run], others: Sequence[Run], k: int = 5) -> Difference | None:
    """NDCG@k of one row's runs minus another's, on the seeds that both have; None without such a seed.

    Users are drawn anew, each with all their seeds: the interval speaks of other users, not of other seeds.
    """
    by_seed = {run.seed: run for run in others}
    pairs = [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]
    if not pairs:
        return None
    if any(run.users != other.users for run, other in pairs):
        raise ValueError("the rows were not tested on the same users; train them on the same log")
    return paired_difference(
        np.concatenate([gains(np.array(run.ranks), k) for run, _ in pairs]),
        np.concatenate([gains(np.array(other.ranks), k) for _, other in pairs]),
        np.concatenate([run.users for run, _ in pairs]),
    )


def table_of(data: str, runs: Sequence[Run]) -> Table:
    """One line per row: mean ± standard deviation over seeds, and the difference to the row that it should beat."""
    table = Table(title=f"{data}, leave-one-out, the true item among it and 99 drawn ones")
    for column in (
        "row",
        "seeds",
        "HR@5",
        "HR@10",
        "NDCG@5",
        "NDCG@10",
        "NDCG@10, all items",
        "NDCG@5 more than",
        "slots used",
        "epoch",
        "s",
    ):
        table.add_column(column, justify="left" if column == "row" else "right")
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(run.row, []).append(run)
    for name, own in rows.items():
        base = ROWS[name].against
        difference = improvement(own, rows.get(base, []) if base else [])
        full = [run.full for run in own if run.full is not None]
        table.add_row(
            name,
            str(len(own)),
            *(
                spread([float(metric(np.array(run.ranks), k).mean()) for run in own])
                for metric in (hits, gains)
                for k in (5, 10)
            ),
            spread([float(gains(np.array(ranks), 10).mean()) for ranks in full]) if full else "",
            f"{base} {difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]" if difference else "",
            spread([effective_slots(run.usage) for run in own], 1) if own[0].usage else "",
            ", ".join(str(run.epoch) for run in own),
            f"{np.mean([run.seconds for run in own]):,.0f}",
        )
    return table


def usage_table(data: str, runs: Sequence[Run]) -> Table:
    """Which relation is the most probable one how often, and its mean probability, for the runs that read text."""
    telling = [run for run in runs if run.usage]
    names = max((run.relations for run in telling), key=len, default=[])
    table = Table(title=f"{data}, true pairs (past item, test item): % by most probable relation / mean q, %")
    for column in ("row", "seed", *names):
        table.add_column(column, justify="left" if column == "row" else "right")
    for run in telling:
        shares = zip(run.usage, run.belief, strict=True)
        told = dict(zip(run.relations, (f"{100 * most:.0f} / {100 * mean:.0f}" for most, mean in shares), strict=True))
        table.add_row(run.row, str(run.seed), *(told.get(name, "") for name in names))
    return table


def spread(values: Sequence[float], digits: int = 4) -> str:
    """
    >>> spread([0.25, 0.35]), spread([0.25])
    ('0.3000 ± 0.0707', '0.2500')
    """
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean
