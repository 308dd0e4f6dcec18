"""Proofs by experiment that a recommender sees neither the future nor the label.

A recommender is handed one basket after another, but whoever builds it may hold the log, tune on it, or train on it
before. So the log is changed where a score must not look, the recommender is built anew from the changed log, and every
score is compared. Meant for tests and for anyone who adds a baseline; a small log is enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.leakage import LeakageError
from models.baselines.recommender import Recommender

Build = Callable[[CodedLog], Recommender]

TOLERANCE = 1e-9
"""Largest relative difference of a score that counts as none."""

PLACES = 6
"""Groups of the log after which, and at which, it is changed."""


def check_recommender(build: Build, log: CodedLog, *, seed: int = 0, tolerance: float = TOLERANCE) -> int:
    """Changing what comes later, or what the user is about to do, changes no score; and looking changes nothing.

    ``build`` makes a fresh recommender for a log. At several groups of ``log`` everything later is deleted, or replaced
    by other users and items, or the group's own items are others: all scores up to and at that group must stay. A run
    in which only the last group is scored must find the same scores there, or sampling would change figures. Returns
    the number of compared score vectors; raises :class:`LeakageError` that names the first difference.
    """
    whole = _scores(build(log), log, range(log.n_groups))
    compared = 0
    for group in np.unique(np.linspace(1, log.n_groups - 1, PLACES).astype(int)).tolist():
        for what, changed in _changes(log, group, seed):
            found = _scores(build(changed), changed, range(group + 1))
            for place, scores in found.items():
                _compare(f"{what} changed the scores of group {place}", whole[place], scores, tolerance)
            compared += len(found)
        alone = _scores(build(log), log, [group])
        _compare(f"scoring earlier groups changed the scores of group {group}", whole[group], alone[group], tolerance)
        compared += 1
    return compared


def _scores(model: Recommender, log: CodedLog, groups: Collection[int]) -> dict[int, NDArray[np.float64]]:
    """Scores of ``groups`` before each is learned. Raises LeakageError where they are not of the items seen so far."""
    scores = {}
    for group in range(max(groups) + 1):
        basket = log.basket(group)
        if group in groups:
            given = model.scores(basket.user, basket.ts)
            seen = int(log.items_before[log.borders[group]])
            if len(given) != seen + 1:
                raise LeakageError(
                    f"{model.name}: {len(given)} scores before group {group}, where [1 + {seen}] items had been seen"
                )
            scores[group] = given[1:].copy()
        model.learn(basket)
    return scores


def _changes(log: CodedLog, group: int, seed: int) -> Iterator[tuple[str, CodedLog]]:
    """The log with its future, or a group's items, changed; rows stay those of first appearance."""
    rng = np.random.default_rng([seed, group])
    start, stop = int(log.borders[group]), int(log.borders[group + 1])
    yield f"deleting everything after group {group}", log.head(stop)
    users, items = log.users.copy(), log.items.copy()
    for later in range(group + 1, log.n_groups):
        users[log.borders[later] : log.borders[later + 1]] = rng.integers(1, log.users[:stop].max() + 1)
    items[stop:] = rng.integers(1, log.items[:stop].max() + 1, len(items) - stop)
    yield f"replacing everything after group {group}", dataclasses.replace(log, users=users, items=items)
    seen = int(log.items[:start].max())
    others = log.head(stop).items.copy()
    others[start:] = 1 + (others[start:] + rng.integers(seen, size=stop - start)) % seen
    yield f"giving group {group} other items", dataclasses.replace(log.head(stop), items=others)


def _compare(what: str, expected: NDArray[np.float64], found: NDArray[np.float64], tolerance: float) -> None:
    same = np.isclose(expected, found, rtol=tolerance, atol=tolerance)
    if not same.all():
        item = int(np.flatnonzero(~same)[0])
        raise LeakageError(f"{what}: item row {item + 1} went from {expected[item]} to {found[item]}")
