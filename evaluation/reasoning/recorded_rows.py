"""What recorded graphs of a language model are worth beside counted ones: the same trained model reads either.

Nothing is trained here. The row ``reasoning`` learned with counted graphs; its test users with a recorded graph are
ranked once with their counted graphs, once with counted graphs as short as the recorded ones, once with the recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from dyngraph.reasoning import ReasoningGraph
from evaluation.intervals import paired_difference
from evaluation.metrics import gains
from evaluation.reasoning.full_ranking import FIGURES, FullRanks, figures, full_ranks
from evaluation.reasoning.held_out import HeldOutHistories, Order
from evaluation.reasoning.outcomes import Run
from evaluation.reasoning.recorded import RecordedChains, newest_only
from evaluation.reasoning.rows import BASE, SEQUENCE, row_named
from evaluation.reasoning.study import Study
from evaluation.reasoning.tables import HISTORIES
from models.llmrg.chains import PlacedChains

REASONING = "reasoning"
COUNTED, RECORDED = "reasoning (statistical)", "reasoning (recorded answers)"


class RecordedRows(NamedTuple):
    """Ranks of the test users with a recorded graph."""

    users: NDArray[np.int64]
    """``[B]`` user rows."""
    ranks: Mapping[str, FullRanks]
    """By row: what is finished of the base model and the sequence graph, then the three readings of ``reasoning``."""
    left_out: Mapping[str, int]
    """Recorded graphs that do not belong to this order, by reason."""


def check_recorded(study: Study, graphs: Sequence[ReasoningGraph], order: Order, seed: int) -> None:
    """Before anything is trained. Raises ValueError where no recorded graph belongs to this order, or nobody builds
    counted graphs."""
    builder = _builder(study, graphs)
    if not builder.placed(study.log, HeldOutHistories.of(study.log, order, seed)):
        raise _none_belongs(builder, graphs, order, seed)


def recorded_rows(study: Study, graphs: Sequence[ReasoningGraph], order: Order, seed: int) -> RecordedRows:
    """Rank them. Raises ValueError where ``reasoning`` is not finished, or nobody builds counted graphs, and where no
    recorded graph belongs to this order.
    """
    run = Run(REASONING, order, seed)
    builder = _builder(study, graphs)
    if study.rows.find(run) is None:
        raise ValueError(f"recorded graphs are read by the row {REASONING!r}, order {order}, seed {seed}: run it first")
    data = HeldOutHistories.of(study.log, order, seed)
    recorded = builder(study.log, data, row_named(REASONING).threshold)
    which = np.flatnonzero(np.isin(data.tests, list(recorded.graphs)))
    if not len(which):
        raise _none_belongs(builder, graphs, order, seed)
    counted = builder.build(study.log, data, row_named(REASONING).threshold)
    most = max(len(graph.steps) for graph in recorded.graphs.values())
    readings: dict[str, PlacedChains] = {
        COUNTED: counted,
        f"{COUNTED}, newest {most} items": newest_only(counted, most),
        RECORDED: recorded,
    }
    ranks = _finished(study, order, seed, which)
    for name, chains in readings.items():
        ranks[name] = full_ranks(study.finished(run, data, chains), data.histories, data.tests[which])
    return RecordedRows(study.log.users[data.rows[data.tests[which]]], ranks, dict(builder.refused))


def _builder(study: Study, graphs: Sequence[ReasoningGraph]) -> RecordedChains:
    if study.build is None:
        raise ValueError("recorded graphs stand beside counted ones; name who builds those")
    return RecordedChains(study.build, graphs)


def _none_belongs(builder: RecordedChains, graphs: Sequence[ReasoningGraph], order: Order, seed: int) -> ValueError:
    return ValueError(
        f"none of the {len(graphs)} recorded graphs belongs to the {order} order, seed {seed}: "
        f"{dict(builder.refused)}; leave this order or seed out, or record graphs for it"
    )


def _finished(study: Study, order: Order, seed: int, which: NDArray[np.int64]) -> dict[str, FullRanks]:
    """Of the rows without reasons, as they were ranked when they were finished."""
    found = {}
    for name, outcomes, run in (
        (BASE, study.bases, Run(study.base, order, seed)),
        (SEQUENCE.name, study.rows, Run(SEQUENCE.name, order, seed)),
    ):
        if outcomes.find(run) is not None:
            found[name] = FullRanks(*(ranks[which] for ranks in outcomes.ranks(run)))
    return found


def recorded_table(found: Mapping[tuple[Order, int], RecordedRows]) -> Table:
    """Figures of every row over the seeds of each order, and NDCG@10 minus that of the counted graphs with the 95 %
    bootstrap interval over users."""
    table = Table(title="Users with recorded answers")
    for column in ("row", "order", "history", "users", "seeds", *FIGURES, f"NDCG@10 minus “{COUNTED}”"):
        table.add_column(column)
    for order in dict.fromkeys(order for order, _ in found):
        of_order = [rows for (which, _), rows in found.items() if which == order]
        users = np.concatenate([rows.users for rows in of_order])
        for history, place in zip(HISTORIES, (0, 1), strict=True):
            against = np.concatenate([rows.ranks[COUNTED][place] for rows in of_order])
            for name in of_order[0].ranks:
                if any(name not in rows.ranks for rows in of_order):
                    continue
                ranks = np.concatenate([rows.ranks[name][place] for rows in of_order])
                cells = [f"{value:.4f}" for value in figures(ranks).values()]
                difference = ""
                if name != COUNTED:
                    apart = paired_difference(gains(ranks, 10), gains(against, 10), users)
                    difference = f"{apart.mean:+.4f} ({apart.low:+.4f} to {apart.high:+.4f})"
                count = str(len(np.unique(users)))
                table.add_row(name, order, history, count, str(len(of_order)), *cells, difference)
            table.add_section()
    return table
