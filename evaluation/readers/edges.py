"""Plain edge lists of continuous-time graphs, as the link-prediction benchmarks publish them.

They have no header, no event types and no ids but numbers, so they need none of what interaction logs need; what
they do need is speed (columns, not events) and the order of their lines kept, because protocols split by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.readers.errors import DataFileError, Problem, shown

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

COLUMNS = ("source", "destination", "time")


@dataclass(frozen=True)
class EdgeLog:
    """Edges ``[N]`` from users to items, in time order; users and items are counted from 0 each."""

    name: str
    users: Ints
    """``[N]`` in ``[0, n_users)``."""
    items: Ints
    """``[N]`` in ``[0, n_items)``."""
    ts: Ints
    """``[N]`` ms; never decreases."""
    seq: Ints
    """``[N]`` place in the whole log, from 0."""
    features: Floats
    """``[N, E]``; E is 0 for a file without features."""
    user_ids: Ints
    """``[n_users]`` the file's number of each user."""
    item_ids: Ints
    """``[n_items]`` the file's number of each item."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of distinct sources of the whole file."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of distinct destinations of the whole file."""
        return len(self.item_ids)

    def part(self, start: int, stop: int) -> EdgeLog:
        """Edges ``[start, stop)`` as views; users and items keep their numbers."""
        cut = slice(start, stop)
        return replace(
            self,
            users=self.users[cut],
            items=self.items[cut],
            ts=self.ts[cut],
            seq=self.seq[cut],
            features=self.features[cut],
        )


def read_edges(path: str | Path, *, unit_ms: int = 1000) -> EdgeLog:
    """Read ``source destination time [feature …]`` lines (spaces between, no header, ``.gz`` or plain).

    ``time`` counts units of ``unit_ms`` milliseconds (seconds by default). Sources and destinations are two kinds of
    node, each counted from 0 in the order of their numbers. Raises :class:`DataFileError` naming the line for a field
    that is not a number, a feature that is not finite, a missing field, or a time that goes back.
    """
    path = Path(path)
    try:
        frame = pl.read_csv(path, separator=" ", has_header=False, infer_schema=False, quote_char=None)
    except FileNotFoundError as error:
        raise DataFileError(f"{path}: no such file; check the path") from error
    except pl.exceptions.NoDataError as error:
        raise DataFileError(f"{path}: the file is empty; it must hold `source destination time` lines") from error
    except pl.exceptions.PolarsError as error:
        raise DataFileError(f"{path}: cannot be parsed ({str(error).splitlines()[0]})") from error
    if frame.width < len(COLUMNS):
        raise DataFileError(
            f"{path}, line 1: {frame.width} fields; a line must be `source destination time [feature …]`, "
            "separated by one space"
        )
    sources, destinations, times = (
        _numbers(path, frame, place, name, pl.Int64).to_numpy() for place, name in enumerate(COLUMNS)
    )
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        line = int(back[0]) + 2
        raise DataFileError(
            str(Problem(str(path), line, "its time is before that of the line above; sort the file by time"))
        )
    features = np.empty((frame.height, frame.width - len(COLUMNS)), dtype=np.float32)
    for place in range(features.shape[1]):
        column = _numbers(path, frame, len(COLUMNS) + place, f"feature {place + 1}", pl.Float32).to_numpy()
        if not np.isfinite(column).all():
            line = int(np.flatnonzero(~np.isfinite(column))[0]) + 1
            raise DataFileError(str(Problem(str(path), line, f"feature {place + 1} must be finite; mend the row")))
        features[:, place] = column
    user_ids, users = np.unique(sources, return_inverse=True)
    item_ids, items = np.unique(destinations, return_inverse=True)
    return EdgeLog(
        name=path.name.removesuffix(".gz").removesuffix(".txt"),
        users=users.astype(np.int64),
        items=items.astype(np.int64),
        ts=times * unit_ms,
        seq=np.arange(frame.height, dtype=np.int64),
        features=features,
        user_ids=user_ids,
        item_ids=item_ids,
    )


def _numbers(path: Path, frame: pl.DataFrame, place: int, name: str, kind: type[pl.DataType]) -> pl.Series:
    text = frame.to_series(place)
    numbers = text.cast(kind, strict=False)
    if numbers.null_count():
        row = int(numbers.is_null().arg_max() or 0)
        rule = "a whole number" if kind is pl.Int64 else "a number"
        found = "missing" if text[row] is None else shown(text[row])
        raise DataFileError(str(Problem(str(path), row + 1, f"{name} must be {rule}, not {found}; mend the row")))
    return numbers
