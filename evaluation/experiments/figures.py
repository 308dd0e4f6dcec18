"""Outcomes become figures: lines with intervals, and paired differences with the margins that are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.beyond_accuracy import beyond_accuracy
from evaluation.coded import CodedLog
from evaluation.contenders import EVERGRAPH
from evaluation.experiments.command import reproduce
from evaluation.experiments.curves import curve
from evaluation.experiments.experiment import Experiment
from evaluation.experiments.provenance import log_digest, machine, versions
from evaluation.experiments.results import Comparison, DataFacts, Line, ModelResult, Results, Timing
from evaluation.experiments.wording import notes, title
from evaluation.intervals import Interval, paired_difference, user_interval
from evaluation.metrics import gains, hit_rate, mrr
from evaluation.protocols.outcome import Outcome
from evaluation.protocols.plan import Plan
from evaluation.readers.log import InteractionLog
from models.baselines import baseline_names

BLEND = "blend"
MARGIN_OVER_BLEND, MARGIN_OVER_ONE = 0.05, 0.10
"""Relative difference in NDCG that is asked of the engine over the blend, and over any single baseline."""


def results_of(
    experiment: Experiment,
    log: InteractionLog,
    walked: CodedLog,
    outcomes: Sequence[Outcome],
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Results:
    """All figures of an experiment; ``outcomes`` are those of its contenders, in their order.

    Drawing users anew for the intervals takes time, so ``told`` hears how many contenders are done, and of how many.
    """
    plan = experiment.plan
    targets = ", ".join(target.label for target in experiment.targets)
    names = experiment.contenders
    models: list[ModelResult] = []
    comparisons: list[Comparison] = []
    for name, outcome in zip(names, outcomes, strict=True):
        if not np.array_equal(outcome.row, outcomes[0].row):
            raise RuntimeError(f"{name} ranked other events than {names[0]}; differences need the same ones")
        models.append(_model(name, outcome, walked, experiment))
        if len(models) > 1:
            comparisons.append(_comparison(models[0], models[-1], outcomes[0], outcome, plan))
        told(len(models), len(outcomes))
    return Results(
        title=title(plan, log.name, experiment.ablation),
        data=DataFacts(
            name=log.name,
            digest=log_digest(log, walked),
            events=len(walked),
            users=walked.n_users,
            items=walked.n_items,
            first_ts=int(walked.ts[0]),
            last_ts=int(walked.ts[-1]),
            evaluated=len(outcomes[0]),
            dropped=log.dropped | _impressions(log, walked),
            notes=log.notes,
        ),
        protocol={
            **plan.settings(),
            "targets": targets,
            "rating_threshold": "none" if experiment.rating_threshold is None else experiment.rating_threshold,
            "trials": "none" if experiment.trials is None else experiment.trials,
            "batch": experiment.batch,
            "window": experiment.window,
        },
        models=models,
        comparisons=_adjusted(comparisons),
        notes=notes(plan, targets, experiment.rating_threshold),
        command=reproduce(experiment),
        versions=versions(),
        machine=machine(),
        timings={
            name: Timing(outcome.seconds, outcome.events_per_s) for name, outcome in zip(names, outcomes, strict=True)
        },
    )


def _model(name: str, outcome: Outcome, walked: CodedLog, experiment: Experiment) -> ModelResult:
    plan = experiment.plan
    shown = beyond_accuracy(outcome, walked)
    return ModelResult(
        name=name,
        settings=outcome.settings,
        lines={kind: line(outcome, kept, plan.k, plan.seed) for kind, kept in kinds(outcome).items()},
        coverage=_known(shown.coverage),
        novelty=_known(shown.novelty),
        gini=_known(shown.gini),
        curve=curve(outcome, walked, plan.k, experiment.window),
    )


def kinds(outcome: Outcome) -> dict[str, NDArray[np.bool_]]:
    """Kind to the events ``[E]`` that are of it: `all`, and the two sides of each difference that a reader asks for."""
    sides = {
        "repeat": outcome.repeat,
        "first-time": ~outcome.repeat,
        "cold users": outcome.cold_user,
        "warm users": ~outcome.cold_user,
        "cold items": outcome.cold_item,
        "warm items": ~outcome.cold_item,
    }
    return {"all": np.ones(len(outcome), dtype=np.bool_)} | sides


def line(outcome: Outcome, kept: NDArray[np.bool_], k: int, seed: int) -> Line:
    """Figures over the events ``kept`` ``[E]``."""
    ranks, users = outcome.rank[kept], outcome.user[kept]
    if not len(ranks):
        return Line(0, 0, None, None, None, None, None)
    interval = user_interval(gains(ranks, k), users, seed=seed)
    return Line(
        events=len(ranks),
        users=len(np.unique(users)),
        hr=hit_rate(ranks, k),
        ndcg=interval.mean,
        ndcg_low=interval.low,
        ndcg_high=interval.high,
        mrr=mrr(ranks),
    )


def _comparison(ours: ModelResult, theirs: ModelResult, our: Outcome, their: Outcome, plan: Plan) -> Comparison:
    difference = paired_difference(gains(our.rank, plan.k), gains(their.rank, plan.k), our.user, seed=plan.seed)
    ahead_of = theirs.overall.ndcg or 0.0
    relative = difference.mean / ahead_of if ahead_of > 0 else None
    margin = _margin(ours.name, theirs.name)
    return Comparison(
        model=ours.name,
        other=theirs.name,
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
        relative=relative,
        p=difference.p,
        p_holm=difference.p,
        intervals_apart=_interval(ours.overall).apart(_interval(theirs.overall)),
        margin=margin,
        margin_reached=None if margin is None else relative is not None and relative >= margin,
    )


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    adjusted = holm([row.p for row in comparisons])
    return [msgspec.structs.replace(row, p_holm=p) for row, p in zip(comparisons, adjusted, strict=True)]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(overall: Line) -> Interval:
    ends = (math.nan if end is None else end for end in (overall.ndcg, overall.ndcg_low, overall.ndcg_high))
    return Interval(*ends)


def _margin(model: str, other: str) -> float | None:
    if model != EVERGRAPH or other not in baseline_names():
        return None
    return MARGIN_OVER_BLEND if other == BLEND else MARGIN_OVER_ONE


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being many, so that any of them below α is so by chance with at most α (Holm 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def _impressions(log: InteractionLog, walked: CodedLog) -> dict[str, int]:
    left = len(log) - len(walked)
    return {"impressions, which say nothing of interest": left} if left else {}
