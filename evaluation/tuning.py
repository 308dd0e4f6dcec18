"""Settings for baselines, chosen before the first evaluated event: no frozen strawmen, and no look ahead.

Whatever is tried sees the log only up to a row within the warm-up; the later part is cut off before anything is built.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from evaluation.coded import CodedLog
from evaluation.metrics import ndcg
from evaluation.protocols.holdout import held_out
from evaluation.protocols.plan import Plan
from evaluation.protocols.prequential import prequential
from models.baselines import Setting, build_baseline, search_space

Settings = dict[str, Setting]

SINCE, UPTO = 0.4, 0.5
"""The slice of the log that trials are judged on: what P1 of the reference results tuned on."""

SAMPLE = 10_000
"""Most events that a trial ranks."""


class Trial(NamedTuple):
    """Settings that were tried, and NDCG@k on the slice."""

    settings: Settings
    ndcg: float


class Tuning(NamedTuple):
    """What tuning found, for the report."""

    settings: Settings
    """The best trial's; of equal ones the first."""
    trials: list[Trial]
    since: int
    """First row of the slice."""
    upto: int
    """The row at which the log was cut off."""


def plan_settings(name: str, plan: Plan) -> Settings:
    """What a baseline takes over from the plan rather than from tuning: its seed, and whether seen items are masked."""
    decided: Settings = {"seed": plan.seed, "mask_seen": _masked(plan)}
    return {setting: value for setting, value in decided.items() if setting in build_baseline(name).settings}


def _masked(plan: Plan) -> bool:
    """Sampled negatives are items that the user never met, so there the own ones are no candidates either."""
    return plan.mask_seen or plan.protocol == "leave-one-out-sampled"


def tuned(
    name: str,
    log: CodedLog,
    plan: Plan,
    *,
    trials: int,
    seed: int = 0,
    since: float = SINCE,
    upto: float = UPTO,
    progress: Callable[[int], None] = lambda done: None,
) -> Tuning:
    """Pick settings of a baseline by NDCG@k over the events between the shares ``since`` and ``upto`` of the log.

    The default settings are the first trial. Half of the others are drawn from the baseline's search space, the rest
    change one setting of the best so far. There are fewer trials where the space holds fewer combinations. The slice is
    walked as ``plan`` says (masks, first-time only, left-out groups, k), always prequentially, and at most
    :data:`SAMPLE` of its events are ranked. For leave-one-out the test events are taken out of the log first.
    ``progress`` hears how many trials are done. Raises ValueError for ``trials`` below 1, shares that leave no slice,
    or ``upto`` beyond the plan's warm-up.
    """
    if trials < 1:
        raise ValueError(f"trials = {trials}: use 1 or more")
    if plan.protocol == "prequential" and upto > plan.warmup:
        raise ValueError(f"upto = {upto} lies beyond the warm-up {plan.warmup}; tuning must not see evaluated events")
    if not 0 <= since < upto <= 1:
        raise ValueError(f"since = {since}, upto = {upto}: use shares with 0 <= since < upto <= 1")
    if plan.protocol.startswith("leave-one-out"):
        # A user's last event may lie before the slice ends.
        log = log.only(~np.isin(np.arange(len(log)), held_out(log, plan).tests))
    seen = log.head(int(upto * len(log)))
    slice_plan = dataclasses.replace(
        plan, protocol="prequential", warmup=since / upto, mask_seen=_masked(plan), sample=SAMPLE, seed=seed
    )
    fixed = plan_settings(name, plan)
    done: list[Trial] = []
    for settings in _proposals(search_space(name), build_baseline(name, **fixed).settings, done, trials, seed):
        outcome = prequential(seen, functools.partial(build_baseline, name, **settings), slice_plan)
        done.append(Trial(settings, ndcg(outcome.rank, plan.k)))
        progress(len(done))
    best = max(done, key=lambda trial: trial.ndcg)
    return Tuning(best.settings, done, since=int(since * len(log)), upto=len(seen))


def _proposals(
    space: Mapping[str, tuple[Setting, ...]], defaults: Settings, done: list[Trial], trials: int, seed: int
) -> Iterator[Settings]:
    """Settings to try next, given what is ``done`` by then; never the same twice."""
    rng = np.random.default_rng(seed)
    tried: list[Settings] = []
    combinations = int(np.prod([len(values) for values in space.values()]))
    outside = any(defaults[name] not in values for name, values in space.items())
    most = min(trials, combinations + outside)
    while len(tried) < most:
        if not tried:
            settings = dict(defaults)
        elif len(tried) <= most // 2:
            settings = defaults | {name: values[rng.integers(len(values))] for name, values in space.items()}
        else:
            settings = dict(max(done, key=lambda trial: trial.ndcg).settings)
            # A second change now and then, or a best trial whose neighbours are all known would be the end.
            for name in rng.permutation(list(space))[: 1 + rng.integers(2)].tolist():
                settings[name] = space[name][rng.integers(len(space[name]))]
            if settings in tried:
                settings = defaults | {name: values[rng.integers(len(values))] for name, values in space.items()}
        if settings not in tried:
            tried.append(settings)
            yield settings
