"""Tables of leave-one-out runs: four lines each, since the order within a day and masking decide what is compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from evaluation.reasoning.full_ranking import FIGURES
from evaluation.reasoning.held_out import Order
from evaluation.reasoning.outcomes import RunOutcome
from evaluation.reasoning.rows import SEQUENCE
from evaluation.reasoning.study import Study

HISTORIES = ("masked", "not masked")


def figures_table(
    title: str, runs: Sequence[RunOutcome], published: tuple[str, tuple[float, ...]] | None = None
) -> Table:
    """Mean over seeds and standard deviation where there are several, per row, order and masking; ``published`` is a
    name with the four figures of a paper."""
    table = Table(title=title)
    for column in ("row", "order", "history", "seeds", *FIGURES, "best epoch", "weight by name"):
        table.add_column(column, no_wrap=column in FIGURES)
    if published:
        table.add_row(published[0], "", "not masked", "", *(f"{figure:.4f}" for figure in published[1]), "", "")
    for order in dict.fromkeys(run.order for run in runs):
        for history in HISTORIES:
            for row in dict.fromkeys(run.row for run in runs):
                of_row = [run for run in runs if (run.row, run.order) == (row, order)]
                if of_row:
                    found = [run.masked if history == "masked" else run.unmasked for run in of_row]
                    cells = (_cell([figures[name] for figures in found]) for name in FIGURES)
                    epochs = ", ".join(str(run.progress["best_epoch"]) for run in of_row)
                    weights = ", ".join(f"{run.weight:g}" for run in of_row if run.weight is not None)
                    table.add_row(row, order, history, str(len(of_row)), *cells, epochs, weights)
            table.add_section()
    return table


def differences_table(study: Study, runs: Sequence[RunOutcome], against: str = SEQUENCE.name) -> Table:
    """NDCG@10 of each row minus that of the row ``against``, over the seeds that both have, with the 95 % bootstrap
    interval over users."""
    table = Table(title=f"NDCG@10 minus that of “{against}”, paired by user")
    for column in ("row", "order", "history", "seeds", "difference", "95 % interval", "p"):
        table.add_column(column)
    seeds: dict[tuple[str, Order], list[int]] = {}
    for run in runs:
        seeds.setdefault((run.row, run.order), []).append(run.seed)
    for (row, order), ours in seeds.items():
        both = sorted(set(ours) & set(seeds.get((against, order), [])))
        if row == against or not both:
            continue
        for history in HISTORIES:
            found = study.against(row, against, order, both, masked=history == "masked")
            interval = f"{found.low:+.4f} to {found.high:+.4f}"
            table.add_row(row, order, history, str(len(both)), f"{found.mean:+.4f}", interval, f"{found.p:.3f}")
    return table


def _cell(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    return f"{mean:.4f}" if len(values) == 1 else f"{mean:.4f} ± {np.std(values, ddof=1):.4f}"
