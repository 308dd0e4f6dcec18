"""Who is ranked: scores of all items become scores of the candidates, and those become ranks and lists."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.ranking import middle_ranks, top_items
from models.baselines.recommender import Recommender


@dataclass(frozen=True)
class Histories:
    """The items that each user met before a row, from the log itself, so that no model's word is needed."""

    log: CodedLog

    @functools.cached_property
    def _by_user(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.log.users, kind="stable")
        starts = np.searchsorted(self.log.users[order], np.arange(self.log.n_users + 2))
        return self.log.items[order], starts

    def before(self, row: int) -> NDArray[np.int64]:
        """Item rows of the user's events before the row's (user, ts) group; an item may stand there several times."""
        items, starts = self._by_user
        start = starts[self.log.users[row]]
        return items[start : start + self.log.user_events_before[row]]

    def whole(self, user: int) -> NDArray[np.int64]:
        """Item rows of all the user's events."""
        items, starts = self._by_user
        return items[starts[user] : starts[user + 1]]


def candidate_scores(model: Recommender, user: int, ts: int, items: int, *, exact: bool = True) -> NDArray[np.float64]:
    """A copy ``[1 + items]`` of the model's scores, ``items`` being the largest row that is a candidate.

    A model that has learned fewer items gives fewer scores: the others stand behind all that it scored, tied. With
    ``exact`` that is an error, because then model and harness disagree about what has been seen. Raises ValueError.
    """
    given = model.scores(user, ts)
    if len(given) > items + 1 or (exact and len(given) != items + 1):
        raise ValueError(f"{model.name}: gives {len(given)} scores; [1 + {items}] items have been seen so far")
    scores = np.empty(items + 1)
    scores[: len(given)] = given
    if len(given) <= items:
        scored = given[1:][given[1:] > -np.inf]
        scores[max(len(given), 1) :] = np.nextafter(scored.min(), -np.inf) if len(scored) else 0.0
    return scores


def ranked(
    model: Recommender, scores: NDArray[np.float64], targets: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Ranks ``[T]`` of ``targets`` and the list ``[≤ k]``. Raises ValueError, naming the model, for NaN scores."""
    try:
        return middle_ranks(scores, targets), top_items(scores, k)
    except ValueError as error:
        raise ValueError(f"{model.name}: {error}") from error
