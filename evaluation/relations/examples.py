"""What a model may know of a user when an event is predicted: their latest events before it, for many events at once.

Users' order is that in which events were held out. The past of a learned event holds learned events, that of a
validation event too, and that of a test event the validation event besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.protocols.holdout import HeldOut

MS_PER_MINUTE = 60_000


@dataclass(frozen=True)
class Examples:
    """N events to predict."""

    users: NDArray[np.int64]
    """``[N]`` user rows."""
    targets: NDArray[np.int64]
    """``[N]`` item rows."""
    past: NDArray[np.int64]
    """``[N, H]`` item rows, the latest first, 0 for an empty slot."""
    minutes: NDArray[np.float32]
    """``[N, H]`` how long before the target's own time, 0 for an empty slot."""

    def take(self, which: NDArray[np.int64]) -> Examples:
        """Some of them."""
        return Examples(self.users[which], self.targets[which], self.past[which], self.minutes[which])

    def __len__(self) -> int:
        return len(self.users)


class Split(NamedTuple):
    """A log as examples by what becomes of them; only events with a past."""

    learned: Examples
    validation: Examples
    tests: Examples


def split_examples(log: CodedLog, rows: HeldOut, history: int) -> Split:
    """Examples of the learned, validation and test rows, with up to ``history`` earlier events each."""
    kept = np.concatenate((rows.learned, rows.validation, rows.tests))
    kept = kept[np.argsort(log.users[kept], kind="stable")]
    users = log.users[kept]
    place = np.arange(len(kept))
    begins = np.maximum.accumulate(np.where(np.r_[True, users[1:] != users[:-1]], place, 0))
    at = np.empty(len(log), dtype=np.int64)
    at[kept] = place

    def examples(chosen: NDArray[np.int64]) -> Examples:
        here = at[chosen]
        here = here[here > begins[here]]
        before = here[:, None] - 1 - np.arange(history)
        there = before >= begins[here][:, None]
        past = kept[np.where(there, before, 0)]
        target = kept[here]
        gaps = (log.ts[target][:, None] - log.ts[past]) / MS_PER_MINUTE
        return Examples(
            log.users[target],
            log.items[target],
            np.where(there, log.items[past], 0),
            np.where(there, gaps, 0).astype(np.float32),
        )

    return Split(examples(rows.learned), examples(rows.validation), examples(rows.tests))
