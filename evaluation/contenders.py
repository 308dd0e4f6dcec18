"""Who can be evaluated: every registered baseline, the engine itself, whole, without one of its sources or with more
than those, and the rows of DynLLM's ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

from evaluation.coded import CodedLog
from evaluation.parts import Part
from evaluation.profiles.makers import Recorded, check_answers, producers, told_of
from evaluation.profiles.rows import is_recorded, is_row
from evaluation.protocols import Outcome, Plan
from evaluation.protocols.holdout import leave_one_out
from evaluation.protocols.prequential import prequential, silent
from evaluation.readers.log import InteractionLog
from evaluation.tuning import SINCE, UPTO, plan_settings, tuned
from models.baselines import Recommender, Setting, baseline_names, build_baseline

EVERGRAPH = "evergraph"
WITHOUT = f"{EVERGRAPH} without "
WITH = f"{EVERGRAPH} with "
PARTS: tuple[Part, ...] = get_args(Part)
"""What the engine can be evaluated with besides its sources: user profiles (DynLLM), latent relations (LRD), reasoning
chains (LLMRG), all of them made without a language model; several are joined by ``and``."""

BATCH = 64
"""Events of one step of the engine, unless said otherwise."""

Progress = Callable[[int, dict[str, float]], None]
"""Hears how many events are done and rolling figures such as ``{"ndcg@10": 0.04}``, or :data:`TUNING`."""

TUNING = "tuning"
"""The figure that says, before a walk, how many settings have been tried."""


class UnknownContender(ValueError):
    """Raised for a name that is no contender."""


def contender_names() -> list[str]:
    """What is run where nothing is named: the engine, then every baseline."""
    return [EVERGRAPH, *baseline_names()]


def source_names() -> list[str]:
    """The sources of candidates and features that the engine can be run without."""
    from models.system import build_engine

    return [source.name for source in build_engine().sources]


def is_engine(name: str) -> bool:
    """Whether this is the engine, whole or not, rather than a baseline."""
    return name == EVERGRAPH or name.startswith((WITH, WITHOUT))


def parts_of(name: str) -> tuple[Part, ...]:
    """What a contender has besides the usual sources. Raises UnknownContender for what is no such part.

    >>> parts_of("evergraph with profiles and relations")
    ('profiles', 'relations')
    """
    if not name.startswith(WITH):
        return ()
    named = name.removeprefix(WITH).split(" and ")
    for one in named:
        if one not in PARTS:
            raise UnknownContender(f"part {one!r} is unknown; use one of: {', '.join(PARTS)}, joined by 'and'")
    return tuple(part for part in PARTS if part in named)


def check(name: str) -> None:
    """Raises UnknownContender, naming the known ones."""
    if name.startswith(WITHOUT):
        source, known = name.removeprefix(WITHOUT), source_names()
        if source not in known:
            raise UnknownContender(f"source {source!r} is unknown; use one of: {', '.join(known)}")
    elif name.startswith(WITH):
        parts_of(name)
    elif name not in (known := [*contender_names(), *(f"{WITH}{part}" for part in PARTS)]) and not is_row(name):
        raise UnknownContender(
            f"model {name!r} is unknown; use some of: {', '.join(known)}, or {WITHOUT!r} and a source's name"
        )


def check_trials(coded: CodedLog, plan: Plan, trials: int) -> None:
    """Raises ValueError where the plan leaves no events to tune baselines on."""
    if plan.protocol.startswith("leave-one-out"):
        raise ValueError(
            f"trials = {trials}: {plan.protocol} holds events out everywhere in the log, so none is left to tune on; "
            "leave trials out"
        )
    if int(_tuning_ends(plan) * len(coded)) < 2:
        raise ValueError(f"trials = {trials}: needs a warm-up to tune on, and warmup is {plan.warmup:g}; raise it")


def modules(name: str, plan: Plan, trials: int | None = None) -> tuple[str, ...]:
    """The modules that, with all they import, decide the outcome of a contender: what a kept one depends on."""
    if is_engine(name):
        return ("evaluation.contending_engine",)
    if is_row(name):
        return ("evaluation.profiles.walk",)
    tuning = ("evaluation.tuning",) if trials is not None else ()
    protocol = "holdout" if plan.protocol.startswith("leave-one-out") else "prequential"
    return (type(build_baseline(name)).__module__, f"evaluation.protocols.{protocol}", *tuning)


def run(
    name: str,
    log: InteractionLog,
    coded: CodedLog,
    plan: Plan,
    progress: Progress = silent,
    *,
    trials: int | None = None,
    batch: int = BATCH,
) -> Outcome:
    """Walk the log with a fresh contender.

    ``coded`` is ``log`` as arrays. With ``trials`` a baseline's settings are picked on a slice of the warm-up among so
    many; the engine has its own, and learns in steps of ``batch`` events. Raises UnknownContender, or ValueError where
    the protocol cannot be followed.
    """
    check(name)
    if is_engine(name):
        from evaluation.contending_engine import run_engine

        without = (name.removeprefix(WITHOUT),) if name.startswith(WITHOUT) else ()
        return run_engine(name, log, coded, plan, progress, without=without, parts=parts_of(name), batch=batch)
    if is_row(name):
        return run_together((name,), log, coded, plan, progress, batch=batch)[0]
    settings, told = _settings(name, coded, plan, trials, progress)

    def build() -> Recommender:
        return build_baseline(name, **settings)

    walk = leave_one_out if plan.protocol.startswith("leave-one-out") else prequential
    outcome = walk(coded, build, plan, progress)
    return replace(outcome, settings=outcome.settings | told)


def run_together(
    rows: Sequence[str],
    log: InteractionLog,
    coded: CodedLog,
    plan: Plan,
    progress: Progress = silent,
    *,
    batch: int = BATCH,
    answers: Recorded | None = None,
) -> list[Outcome]:
    """Walk the log once with several rows of DynLLM's ablation, each of which learns on its own.

    ``answers`` are those of the row with recorded facets. Raises ValueError where they are missing, or none fits.
    """
    from evaluation.profiles.walk import run_rows

    if answers is not None and any(map(is_recorded, rows)):
        check_answers(answers, log, coded, batch)
    makers = producers(rows, log.items, answers)
    made = run_rows(rows, log, coded, plan, progress, batch=batch, producers=makers)
    for name, outcome in zip(rows, made, strict=True):
        if is_recorded(name):
            outcome.settings.update(told_of(makers["recorded"]))
    return made


def _settings(
    name: str, coded: CodedLog, plan: Plan, trials: int | None, progress: Progress
) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """What a baseline is built with beyond its defaults, and what a report says of how that was chosen."""
    if trials is None:
        return plan_settings(name, plan), {}
    check_trials(coded, plan, trials)
    upto = _tuning_ends(plan)

    def tell(done: int) -> None:
        progress(len(coded) * done // trials, {TUNING: done})

    tell(0)
    found = tuned(name, coded, plan, trials=trials, seed=plan.seed, since=upto * SINCE / UPTO, upto=upto, progress=tell)
    best = max(trial.ndcg for trial in found.trials)
    return found.settings, {
        "tuned_on": f"events {found.since + 1:,} to {found.upto:,}",
        "tuned_with": f"{len(found.trials)} trials",
        f"tuned_ndcg@{plan.k}": best,
    }


def _tuning_ends(plan: Plan) -> float:
    """The share of the log that tuning may see."""
    return min(UPTO, plan.warmup) if plan.protocol == "prequential" else UPTO
