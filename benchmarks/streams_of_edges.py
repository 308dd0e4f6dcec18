"""The two streams that engines are measured on, cut out by place so that no process need hold all of one.

Both go round: behind the last edge the first ones come again, at later times, for as long as a measurement needs.

``ctdg-wikipedia`` is the real graph, without edge features. ``synthetic-172`` has its shape and the 172 features per
edge that the published set has and that is not to be had here: users and pages by Zipf's law, exponential gaps, and
gaussian features that are drawn in blocks from the seed whenever they are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from evaluation.readers.edges import EdgeLog, Ints, read_edges

N_EVENTS, N_USERS, N_ITEMS = 157_474, 8_227, 1_000
SPAN_MS = 2_678_373_000
"""A month: that of the real graph."""
TURN_MS = SPAN_MS + 60_000
"""From one turn of a stream to the next."""
BLOCK = 1_000
"""Features are drawn for so many events at a time."""


class Stream(Protocol):
    """What both kinds offer, once round."""

    @property
    def n_users(self) -> int:
        """Users of the whole stream."""
        ...

    @property
    def n_items(self) -> int:
        """Items of the whole stream."""
        ...

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> EdgeLog:
        """Edges ``[start, stop)``."""
        ...


class Round:
    """A stream without end: its edges over and over, a month later each time, numbered on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.n_users, self.n_items = stream.n_users, stream.n_items

    def part(self, start: int, stop: int) -> EdgeLog:
        """Edges ``[start, stop)``."""
        once, pieces, at = len(self._stream), [], start
        while at < stop:
            turn, place = divmod(at, once)
            piece = self._stream.part(place, min(once, place + stop - at))
            pieces.append(replace(piece, ts=piece.ts + turn * TURN_MS, seq=piece.seq + turn * once))
            at += len(piece)
        if len(pieces) == 1:
            return pieces[0]
        return replace(
            pieces[0],
            users=np.concatenate([one.users for one in pieces]),
            items=np.concatenate([one.items for one in pieces]),
            ts=np.concatenate([one.ts for one in pieces]),
            seq=np.concatenate([one.seq for one in pieces]),
            features=np.concatenate([one.features for one in pieces]),
        )


class SyntheticStream:
    """Wikipedia-shaped edges with ``width`` gaussian features; the same for the same seed."""

    def __init__(self, width: int = 172, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.width, self.seed = width, seed
        self.n_users, self.n_items = N_USERS, N_ITEMS
        self._last = (-1, np.empty((0, width), dtype=np.float32))
        gaps = random.exponential(1.0, N_EVENTS)
        self._columns = EdgeLog(
            f"synthetic-{width}",
            users=_zipf(random, N_USERS, N_EVENTS),
            items=_zipf(random, N_ITEMS, N_EVENTS),
            ts=(gaps.cumsum() / gaps.sum() * SPAN_MS).astype(np.int64),
            seq=np.arange(N_EVENTS, dtype=np.int64),
            features=np.empty((N_EVENTS, 0), dtype=np.float32),
            user_ids=np.arange(N_USERS),
            item_ids=np.arange(N_ITEMS),
        )

    def __len__(self) -> int:
        return N_EVENTS

    def part(self, start: int, stop: int) -> EdgeLog:
        """Edges ``[start, stop)`` with their features ``[stop - start, width]``."""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        blocks = np.concatenate([self._block(number) for number in range(first, last + 1)])
        plain = self._columns.part(start, stop)
        # A copy: one event's view would keep all its block alive.
        return replace(plain, features=blocks[start - first * BLOCK : stop - first * BLOCK].copy())

    def _block(self, number: int) -> npt.NDArray[np.float32]:
        # Events are asked for in order, so the last block serves most questions.
        if self._last[0] != number:
            random = np.random.default_rng((self.seed, number))
            self._last = number, random.standard_normal((BLOCK, self.width), dtype=np.float32)
        return self._last[1]


def open_stream(name: str, data: Path, seed: int) -> Round:
    """The stream called ``name``. Raises ValueError for another name, DataFileError without the file."""
    if name == "ctdg-wikipedia":
        return Round(read_edges(data))
    if name == "synthetic-172":
        return Round(SyntheticStream(seed=seed))
    raise ValueError(f"{name!r} is no stream; use ctdg-wikipedia or synthetic-172")


def _zipf(random: np.random.Generator, n_nodes: int, n_events: int) -> Ints:
    """``[n_events]`` nodes whose frequency falls with their rank to the power of one."""
    weights = 1 / np.arange(1, n_nodes + 1)
    drawn = random.choice(n_nodes, size=n_events, p=weights / weights.sum())
    # Ranks are shuffled, so that neighbours in number are not neighbours in frequency.
    return random.permutation(n_nodes)[drawn].astype(np.int64)
