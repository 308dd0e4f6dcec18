"""What a contender achieved: one line per evaluated event, whatever the protocol and whoever ran it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.metrics import figures
from evaluation.protocols.plan import Plan
from models.baselines.recommender import Setting

_ARRAYS = ("row", "user", "ts", "rank", "top", "repeat", "cold_user", "cold_item")


@dataclass(frozen=True)
class Outcome:
    """A contender's ranks and lists over the evaluated events, in the order of the log."""

    model: str
    settings: dict[str, Setting]
    """What the contender was built with."""
    protocol: dict[str, Setting]
    """What :meth:`Plan.settings` says."""
    row: NDArray[np.int64]
    """``[E]`` row of the :class:`CodedLog`."""
    user: NDArray[np.int64]
    """``[E]`` user row."""
    ts: NDArray[np.int64]
    """``[E]`` event time, ms UTC."""
    rank: NDArray[np.float64]
    """``[E]`` middle rank of the true item, ``inf`` where it was no candidate."""
    top: NDArray[np.int32]
    """``[E, k]`` item rows of the list, best first; 0 where there was no further candidate."""
    repeat: NDArray[np.bool_]
    """``[E]`` whether the user had met the item before."""
    cold_user: NDArray[np.bool_]
    """``[E]`` whether the user had no event before."""
    cold_item: NDArray[np.bool_]
    """``[E]`` whether the item had fewer than ``Plan.cold_item_events`` events before."""
    seconds: float
    """Time in the contender and the harness, without reading the log."""
    events_per_s: float
    """Events learned and ranked over ``seconds``, the whole log included, not just the evaluated part."""
    sampled: bool = False
    """Whether the rank is among sampled negatives: such figures compare only with the same sampling."""

    def __len__(self) -> int:
        return len(self.row)


@dataclass
class OutcomeBuilder:
    """Collects an :class:`Outcome` event by event, in any order; flags and times come from the log."""

    log: CodedLog
    plan: Plan
    model: str
    settings: dict[str, Setting]
    _rows: list[int] = field(default_factory=list)
    _ranks: list[float] = field(default_factory=list)
    _tops: list[NDArray[np.int32]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: int, rank: float, top: NDArray[Any] | list[int]) -> None:
        """Note that the event at ``row`` was ranked ``rank`` and what the list ``top`` (at most k item rows) was.

        A list that several events share may be given as the same array each time; it is kept once.
        """
        if len(top) > self.plan.k:
            raise ValueError(f"a list of {len(top)} items is longer than k = {self.plan.k}")
        self._rows.append(row)
        self._ranks.append(rank)
        self._tops.append(np.asarray(top, dtype=np.int32))

    def lately(self, n: int = 5_000) -> dict[str, float]:
        """HR, NDCG at k and MRR over the last ``n`` events added, for a progress line."""
        return figures(np.array(self._ranks[-n:]), self.plan.k)

    def outcome(self, seconds: float, events: int | None = None) -> Outcome:
        """The result, sorted by row. ``events`` were processed in ``seconds``; None means the whole log."""
        rows = np.array(self._rows, dtype=np.int64)
        top = np.zeros((len(rows), self.plan.k), dtype=np.int32)
        for place, items in enumerate(self._tops):
            top[place, : len(items)] = items
        by_row = np.argsort(rows, kind="stable")
        rows = rows[by_row]
        log = self.log
        return Outcome(
            model=self.model,
            settings=dict(self.settings),
            protocol=self.plan.settings(),
            row=rows,
            user=log.users[rows],
            ts=log.ts[rows],
            rank=np.array(self._ranks, dtype=np.float64)[by_row],
            top=top[by_row],
            repeat=log.repeat[rows],
            cold_user=log.user_events_before[rows] == 0,
            cold_item=log.item_events_before[rows] < self.plan.cold_item_events,
            seconds=seconds,
            events_per_s=(len(log) if events is None else events) / max(seconds, 1e-9),
            sampled=self.plan.protocol == "leave-one-out-sampled",
        )


class OutcomeFileError(ValueError):
    """Raised for a file that holds no outcome."""


def save_outcome(outcome: Outcome, path: Path) -> None:
    """Write one ``.npz`` whose ``header`` is JSON; a reader finds the old file or the new one, never a part."""
    header = {
        spec.name: getattr(outcome, spec.name) for spec in dataclasses.fields(Outcome) if spec.name not in _ARRAYS
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            arrays: dict[str, NDArray[Any]] = {name: getattr(outcome, name) for name in _ARRAYS}
            arrays["header"] = np.frombuffer(msgspec.json.encode(header), dtype=np.uint8)
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def load_outcome(path: Path) -> Outcome:
    """Read what :func:`save_outcome` wrote. Raises FileNotFoundError, or OutcomeFileError for another kind of file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header = msgspec.json.decode(file["header"].tobytes(), type=dict[str, Any])
            return Outcome(**header, **{name: file[name] for name in _ARRAYS})
    except FileNotFoundError:
        raise
    except Exception as error:
        raise OutcomeFileError(f"{path}: holds no outcome ({error}); delete it and run the model again") from error
