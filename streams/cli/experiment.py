"""From options to a table: what `evaluate` and `ablate` do, with a progress bar per model and nothing done twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from streams.cli.experiment_options import Options, experiment, read
from streams.cli.options import need_packages, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from evaluation.profiles.makers import Recorded
    from evaluation.protocols import Outcome

INTERRUPTED = 130
TUNING = "tuning"
"""As :data:`evaluation.contenders.TUNING`, which is not loaded for a help page."""
ANSWERS_USED, ANSWERS_MISSING = "answers_used", "answers_missing"
"""As in :mod:`evaluation.profiles.makers`."""


def compare(
    data: str,
    contenders: tuple[str, ...],
    options: Options,
    *,
    ablation: str = "",
    answers: Recorded | None = None,
) -> None:
    """Run the contenders on the log, print the figures, and write what is asked for."""
    from rich.console import Console

    from evaluation.experiments.experiment import check_names, code_log, conduct
    from evaluation.experiments.figures import results_of
    from evaluation.experiments.keeping import Keeper
    from streams.cli.experiment_tables import show

    if options.report is not None:
        need_packages("--report", "jinja2", "matplotlib")
    check_names(contenders)
    asked = experiment(data, contenders, options, ablation=ablation, answers=answers)
    console = Console(stderr=True)
    log = read(data, options)
    for note in log.notes:
        console.print(note, style="dim", markup=False)
    walked = code_log(asked, log)
    keeper = Keeper(options.out or options.report or Path("out") / "evaluate" / _slug(log.name), options.fresh)
    bars = Bars(console, len(contenders), asked.plan.k)
    try:
        with bars:
            outcomes = conduct(asked, log, walked, keeper, bars)
            results = results_of(asked, log, walked, outcomes, bars.draws)
    except KeyboardInterrupt:
        console.print(
            f"stopped: {bars.finished} of {len(contenders)} models are done and kept in {keeper.folder}; "
            "the same command goes on from there",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    show(results)
    if options.json is not None:
        write_json(options.json, results)
    if options.report is not None:
        from evaluation.reporting.page import write_report

        page = write_report(results, options.report)
        Console().print(f"report: {page}", markup=False, highlight=False)


class Bars:
    """A progress bar per model with time left and its latest NDCG; each finished model leaves one line."""

    def __init__(self, console: Console, contenders: int, k: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[lately]}", markup=False),
        )
        self._progress = Progress(*columns, console=console, transient=True)
        self._console = console
        self._contenders = contenders
        self._figure = f"ndcg@{k}"
        self._tuned = False
        self.finished = 0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begins(self, contender: str, events: int) -> None:
        """A bar for the model."""
        title = f"{self.finished + 1}/{self._contenders} {contender}"
        self._task = self._progress.add_task(title, total=events, lately="")

    def advances(self, events: int, lately: dict[str, float]) -> None:
        """Move it; tuning moves it once of its own, before the walk."""
        if (tried := lately.get(TUNING)) is not None:
            self._tuned, shown = True, f"tuning: {tried:.0f} tried"
        else:
            if self._tuned:
                self._progress.reset(self._task)
                self._tuned = False
            value = lately.get(self._figure)
            shown = "" if value is None or value != value else f"{self._figure.upper()} lately {value:.4f}"
        self._progress.update(self._task, completed=events, lately=shown)

    def ends(self, contender: str, outcome: Outcome, kept: bool) -> None:
        """One line instead of the bar."""
        self.finished += 1
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        how = "kept from before" if kept else f"{outcome.seconds:,.1f} s, {outcome.events_per_s:,.0f} events/s"
        used, missing = (outcome.settings.get(name) for name in (ANSWERS_USED, ANSWERS_MISSING))
        if used is not None:
            how = f"{how}; {used:,} recorded answers used, {missing:,} profiles counted for want of one"
        self._console.print(f"{contender}: {how}", style="dim", markup=False, highlight=False)

    def draws(self, done: int, of: int) -> None:
        """How far the intervals are."""
        if not self._progress.task_ids:
            self._task = self._progress.add_task("intervals", total=of, lately="")
        self._progress.update(self._task, completed=done)


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "log"
