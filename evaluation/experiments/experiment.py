"""An experiment: contenders walk one log under one plan, each outcome is kept, and the figures are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dyngraph.events import EventType
from evaluation import contenders
from evaluation.coded import TARGETS, CodedLog, coded
from evaluation.contenders import BATCH
from evaluation.experiments.keeping import Keeper, fingerprint
from evaluation.experiments.provenance import code_digest, log_digest
from evaluation.profiles.makers import Recorded
from evaluation.profiles.rows import ROWS, is_row
from evaluation.protocols.outcome import Outcome
from evaluation.protocols.plan import Plan, evaluated_rows
from evaluation.readers.log import InteractionLog


@dataclass(frozen=True)
class Experiment:
    """What is compared, on what, and how. Contenders are compared with the first one."""

    data: str
    """How a user names the log in a command."""
    contenders: tuple[str, ...]
    plan: Plan
    targets: tuple[EventType, ...] = TARGETS
    rating_threshold: float | None = None
    limit: int | None = None
    """Walk the first so many events only."""
    window: int = 5_000
    """Evaluated events under the rolling figures. Changes curves, never an outcome."""
    trials: int | None = None
    """Settings that each baseline tries on a slice of the warm-up; None: its defaults."""
    batch: int = BATCH
    """Events of one step of the engine."""
    ablation: str = ""
    """Of what this is an ablation: :data:`SOURCES`, :data:`DYNLLM`, or nothing."""
    answers: Recorded | None = None
    """Recorded answers, for DynLLM's row that reads them."""
    reading: tuple[tuple[str, str], ...] = ()
    """Further options of the command that say how the file is read."""


SOURCES, DYNLLM = "sources", "dynllm"


class Watcher(Protocol):
    """Hears how an experiment goes."""

    def begins(self, contender: str, events: int) -> None:
        """A contender starts on ``events`` events."""
        ...

    def advances(self, events: int, lately: dict[str, float]) -> None:
        """It has done so many, with these rolling figures."""
        ...

    def ends(self, contender: str, outcome: Outcome, kept: bool) -> None:
        """It is done; ``kept``: its outcome was taken from an earlier run."""
        ...


def code_log(experiment: Experiment, log: InteractionLog) -> CodedLog:
    """The log as arrays. Raises ValueError where too little of it can be evaluated, or tuned on."""
    walked = coded(log, experiment.targets, experiment.rating_threshold)
    plan = experiment.plan
    if experiment.trials is not None:
        contenders.check_trials(walked, plan, experiment.trials)
    if plan.protocol in ("prequential", "time-split"):
        there = int(evaluated_rows(walked, replace(plan, sample=None)).sum())
        if plan.sample is not None and plan.sample > there:
            raise ValueError(
                f"sample = {plan.sample:,} is more than the {there:,} events that can be evaluated; "
                "give fewer, or leave it out"
            )
    return walked


def conduct(
    experiment: Experiment, log: InteractionLog, walked: CodedLog, keeper: Keeper, watcher: Watcher
) -> list[Outcome]:
    """Each contender's outcome in turn, run now or taken from an earlier run of the same.

    An experiment that is stopped leaves the finished ones with ``keeper``.
    """
    data = log_digest(log, walked)
    marks = {
        name: fingerprint(
            name,
            log=data,
            plan=experiment.plan,
            code=code_digest(contenders.modules(name, experiment.plan, experiment.trials)),
            options=_read_by(name, experiment),
        )
        for name in experiment.contenders
    }
    kept = {name: outcome for name, mark in marks.items() if (outcome := keeper.find(name, mark)) is not None}
    done = dict(kept)
    for name in experiment.contenders:
        if name not in done:
            # Rows of one ablation walk the log together: what they share is computed once.
            several = is_row(name)
            names = [one for one in experiment.contenders if one not in done and is_row(one)] if several else [name]
            watcher.begins(name if len(names) == 1 else f"{name} and {len(names) - 1} more", len(walked))
            made = _run(names, experiment, log, walked, watcher.advances)
            done |= made
            for one, outcome in made.items():
                keeper.keep(one, marks[one], outcome)
        watcher.ends(name, done[name], name in kept)
    return [done[name] for name in experiment.contenders]


def _run(
    names: Sequence[str], experiment: Experiment, log: InteractionLog, walked: CodedLog, progress: contenders.Progress
) -> dict[str, Outcome]:
    of = log, walked, experiment.plan, progress
    if is_row(names[0]):
        made = contenders.run_together(names, *of, batch=experiment.batch, answers=experiment.answers)
        return dict(zip(names, made, strict=True))
    return {names[0]: contenders.run(names[0], *of, trials=experiment.trials, batch=experiment.batch)}


def _read_by(contender: str, experiment: Experiment) -> dict[str, int | str | None]:
    """The options that only some contenders read."""
    if is_row(contender) and experiment.answers is not None and ROWS[contender].maker == "recorded":
        answers = experiment.answers
        return {"batch": experiment.batch, "answers": answers.digest(), "model": answers.model}
    if contenders.is_engine(contender) or is_row(contender):
        return {"batch": experiment.batch}
    return {"trials": experiment.trials}


def check_names(names: Sequence[str]) -> None:
    """Raises ValueError for an unknown contender, naming the known ones, and for one that is named twice."""
    for place, name in enumerate(names):
        contenders.check(name)
        if name in names[:place]:
            raise ValueError(f"model {name!r} is named twice; name each once")
