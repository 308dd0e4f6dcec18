"""Score before learn, group by group in the order of time: the prequential protocol and the split in time.

A (user, ts) group is scored whole before any of it is learned, because no order within it is known. Candidates are all
items seen before the group. A true item that nobody had met, and a user without history, stay in the average.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.protocols.candidates import Histories, candidate_scores, ranked
from evaluation.protocols.outcome import Outcome, OutcomeBuilder
from evaluation.protocols.plan import TRAIN_UNTIL, Plan, evaluated_rows
from models.baselines.recommender import Follower, Recommender

Build = Callable[[], Recommender]
Progress = Callable[[int, dict[str, float]], None]
"""Told how many events are done and the figures of the last evaluated ones (HR, NDCG at k, MRR); from time to time."""

TELL_EVERY = 2_000
"""Events between two calls of a :data:`Progress`."""


def silent(done: int, figures: dict[str, float]) -> None:
    """The :data:`Progress` of nobody."""


def prequential(log: CodedLog, build: Build, plan: Plan, progress: Progress = silent) -> Outcome:
    """Walk the whole log once with a fresh recommender, ranking what ``plan`` evaluates.

    For ``plan.protocol`` "prequential" and "time-split". With ``plan.freeze`` a split in time learns nothing after the
    train share: a :class:`Follower` goes along, any other recommender stays as it is, with later items behind all
    others. Raises ValueError for another protocol,
    where no event is to be evaluated, or for scores that cannot be ranked.
    """
    if plan.protocol not in ("prequential", "time-split"):
        raise ValueError(f"protocol {plan.protocol!r} holds events out; use leave_one_out")
    return _Walk(log, build(), plan, progress).run()


class _Walk:
    def __init__(self, log: CodedLog, model: Recommender, plan: Plan, progress: Progress) -> None:
        self._log, self._model, self._plan, self._progress = log, model, plan, progress
        self._frozen = plan.protocol == "time-split" and plan.freeze
        self._evaluated = evaluated_rows(log, plan)
        self._histories = Histories(log)
        self._builder = OutcomeBuilder(log, plan, model.name, model.settings)

    def run(self) -> Outcome:
        log = self._log
        learned_until = int(TRAIN_UNTIL * len(log)) if self._frozen else len(log)
        any_evaluated = np.add.reduceat(self._evaluated, log.borders[:-1], dtype=np.int64) > 0
        borders = log.borders.tolist()
        told = 0
        begun = time.perf_counter()
        for group, rank_it in enumerate(any_evaluated.tolist()):
            start, stop = borders[group], borders[group + 1]
            if rank_it:
                self._rank(start, stop)
            if stop <= learned_until:
                self._model.learn(log.basket(group))
            elif isinstance(self._model, Follower):
                self._model.follow(log.basket(group))
            if stop - told >= TELL_EVERY or stop == len(log):
                self._progress(stop, self._builder.lately() if len(self._builder) else {})
                told = stop
        return self._builder.outcome(time.perf_counter() - begun)

    def _rank(self, start: int, stop: int) -> None:
        log, plan = self._log, self._plan
        scores = candidate_scores(
            self._model, int(log.users[start]), int(log.ts[start]), int(log.items_before[start]), exact=not self._frozen
        )
        if plan.mask_seen:
            scores[self._histories.before(start)] = -np.inf
        rows = start + np.flatnonzero(self._evaluated[start:stop])
        if plan.leave_out_group:
            self._add_one_by_one(scores, rows, log.items[start:stop][log.target[start:stop]])
            return
        ranks, top = ranked(self._model, scores, log.items[rows], plan.k)
        for row, rank in zip(rows.tolist(), ranks.tolist(), strict=True):
            self._builder.add(row, rank, top)

    def _add_one_by_one(self, scores: NDArray[np.float64], rows: NDArray[np.int64], trues: NDArray[np.int64]) -> None:
        """Rank each row's item without the group's other true items among the candidates."""
        trues = np.unique(trues[trues < len(scores)])
        kept = scores[trues]
        for row in rows.tolist():
            scores[trues] = np.where(trues == self._log.items[row], kept, -np.inf)
            rank, top = ranked(self._model, scores, self._log.items[row : row + 1], self._plan.k)
            self._builder.add(row, float(rank[0]), top)
