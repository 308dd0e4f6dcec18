"""Leave-one-out: each user's last event is held out, the one before it kept for validation, the rest learned.

Here a user's events are taken in the order in which they stand in the log, also within one moment: every event is
learned for itself. Where that order means nothing (amazon-beauty is sorted by item id within a day),
``Plan.shuffle_ties`` shows what a figure owes to it. Other users' future is learned before a user's last event is
ranked, so these figures say nothing about a live system; they are here to be compared with those of papers.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.protocols.candidates import Histories, candidate_scores, ranked
from evaluation.protocols.outcome import Outcome, OutcomeBuilder
from evaluation.protocols.plan import Plan
from evaluation.protocols.prequential import TELL_EVERY, Build, Progress, silent
from models.baselines.recommender import Basket, Follower

SHORTEST = 3
"""Events that a user needs to be evaluated: one to know them by, one for validation, one for the test."""


class HeldOut(NamedTuple):
    """Rows of a log by what becomes of them."""

    learned: NDArray[np.int64]
    """``[M]`` in the order to learn them."""
    validation: NDArray[np.int64]
    """``[U]`` one per evaluated user: known when the test event is ranked, but nothing has learned from it."""
    tests: NDArray[np.int64]
    """``[U]`` one per evaluated user, ascending; ``validation`` goes by the same users."""


def held_out(log: CodedLog, plan: Plan) -> HeldOut:
    """A user's test event is their last target, the event before it is for validation, what comes after is left out.

    A user with fewer than three events up to the last target is not evaluated, and all their events are learned.
    ``plan.shuffle_ties`` lets the events of each (user, ts) group change places first. Raises ValueError if no user has
    enough events.
    """
    everywhere = np.arange(len(log))
    order = (
        np.lexsort([np.random.default_rng(plan.seed).random(len(log)), log.group]) if plan.shuffle_ties else everywhere
    )
    users = log.users[order]
    last = _latest(users, log.target[order], log.n_users)
    evaluated = np.bincount(users[everywhere <= last[users]], minlength=log.n_users + 1) >= SHORTEST
    if not evaluated.any():
        raise ValueError(f"{log.name}: no user has {SHORTEST} events; leave-one-out has nothing to hold out")
    before = _latest(users, everywhere < last[users], log.n_users)
    tests = order[last[evaluated]]
    by_row = np.argsort(tests)
    return HeldOut(
        learned=order[~evaluated[users] | (everywhere < before[users])],
        validation=order[before[evaluated]][by_row],
        tests=tests[by_row],
    )


def leave_one_out(log: CodedLog, build: Build, plan: Plan, progress: Progress = silent) -> Outcome:
    """Learn, let the model follow the validation events, then rank each test item among all items of the log.

    For ``plan.protocol`` "leave-one-out", and for "leave-one-out-sampled", which ranks it among ``plan.negatives``
    items drawn uniformly by ``plan.seed`` from those that the user never met. The model is asked as of the end of the
    log. One that is no :class:`Follower` learns the validation events. Raises ValueError for another protocol, without
    users to evaluate, or for scores that cannot be ranked.
    """
    if plan.protocol not in ("leave-one-out", "leave-one-out-sampled"):
        raise ValueError(f"protocol {plan.protocol!r} goes by time; use prequential")
    model = build()
    rows = held_out(log, plan)
    builder = OutcomeBuilder(log, plan, model.name, model.settings)
    histories = Histories(log)
    rng = np.random.default_rng(plan.seed)
    begun = time.perf_counter()
    for done, row in enumerate(rows.learned.tolist(), 1):
        model.learn(_alone(log, row))
        if done % TELL_EVERY == 0:
            progress(done, {})
    follow = model.follow if isinstance(model, Follower) else model.learn
    for row in np.sort(rows.validation).tolist():
        follow(_alone(log, row))
    now = int(log.ts[-1])
    for done, row in enumerate(rows.tests.tolist(), len(rows.learned) + len(rows.validation) + 1):
        user, target = int(log.users[row]), int(log.items[row])
        scores = candidate_scores(model, user, now, log.n_items, exact=False)
        met = histories.whole(user)
        if plan.protocol == "leave-one-out-sampled":
            scores = sampled_among(scores, target, met, plan.negatives, rng)
        elif plan.mask_seen:
            scores[met[met != target]] = -np.inf
        ranks, top = ranked(model, scores, log.items[row : row + 1], plan.k)
        builder.add(row, float(ranks[0]), top)
        if done % TELL_EVERY == 0 or row == rows.tests[-1]:
            progress(done, builder.lately())
    return builder.outcome(time.perf_counter() - begun, len(rows.learned) + 2 * len(rows.tests))


def _alone(log: CodedLog, row: int) -> Basket:
    one = slice(row, row + 1)
    return Basket(int(log.users[row]), int(log.ts[row]), log.items[one], log.sign[one])


def _latest(users: NDArray[np.int64], among: NDArray[np.bool_], n_users: int) -> NDArray[np.int64]:
    """``[1 + n_users]`` the last place of each user where ``among`` holds, -1 for none."""
    places = np.flatnonzero(among)
    latest = np.full(n_users + 1, -1)
    np.maximum.at(latest, users[places], places)
    return latest


def sampled_among(
    scores: NDArray[np.float64], target: int, met: NDArray[np.int64], negatives: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """All but the target and the drawn negatives masked; fewer are drawn where the user has met nearly everything."""
    unmet = np.ones(len(scores), dtype=bool)
    unmet[met] = unmet[0] = False
    pool = np.flatnonzero(unmet)
    kept = np.append(rng.choice(pool, min(negatives, len(pool)), replace=False), target)
    candidates = np.full(len(scores), -np.inf)
    candidates[kept] = scores[kept]
    return candidates
