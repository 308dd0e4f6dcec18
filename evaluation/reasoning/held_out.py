"""A log as histories with a place for each question: what is learned, what is for validation, what is the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from evaluation.coded import CodedLog
from evaluation.protocols.holdout import held_out
from evaluation.protocols.plan import Plan
from models.sequential.histories import Histories, Places

Order = Literal["published", "shuffled"]
"""``published``: as the log has it. ``shuffled``: a user's events of one moment (on amazon-beauty a day) changed places
first, in training as in the test, because there the published order is an artefact (items ascend by id within a day).
"""


@dataclass(frozen=True)
class HeldOutHistories:
    """Leave-one-out over :class:`~models.sequential.histories.Histories`.

    A test place stands behind its user's validation place, so its history holds the validation item; nothing was
    learned from that item.
    """

    histories: Histories
    n_items: int
    learned: Places
    """``[M]`` every place but a user's first one, the validation's and the test's."""
    validation: Places
    """``[U]`` one per evaluated user."""
    tests: Places
    """``[U]`` one per evaluated user; goes by the same users as ``validation``."""
    rows: Places
    """``[E]`` the row of the log that stands at each place."""

    @classmethod
    def of(cls, log: CodedLog, order: Order, seed: int) -> HeldOutHistories:
        """From a log; ``seed`` is that of the shuffle. Raises ValueError for an unknown order."""
        if order not in get_args(Order):
            raise ValueError(f"order {order!r} is unknown; use one of: {', '.join(get_args(Order))}")
        parts = held_out(log, Plan("leave-one-out", shuffle_ties=order == "shuffled", seed=seed))
        rows = np.concatenate([parts.learned, parts.validation, parts.tests])
        part = np.repeat(np.arange(3), [len(parts.learned), len(parts.validation), len(parts.tests)])
        by_user = np.argsort(log.users[rows], kind="stable")
        rows, part = rows[by_user], part[by_user]
        histories = Histories.of(log.users[rows], log.items[rows])
        asked = histories.known(np.arange(len(rows))) > 0
        learned, validation, tests = (np.flatnonzero(asked & (part == which)) for which in range(3))
        return cls(histories, log.n_items, learned, validation, tests, rows)
