"""A log as arrays: what every protocol and every contender walks over, in one order, with one coding of ids."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from dyngraph.events import NEGATIVE, POSITIVE, EventType, Item
from evaluation.readers.log import InteractionLog
from models.baselines.recommender import Basket

TARGETS = tuple(event_type for event_type in EventType if event_type in POSITIVE)
"""Event types that count as a hit unless said otherwise: view, click, cart, purchase, rating, like."""


@dataclass(frozen=True)
class CodedLog:
    """A log as arrays, ids as rows in order of first appearance from 1 (0 is the null row), one (user, ts) group
    contiguous.

    Because rows count first appearances, "the items seen so far" are the rows up to the largest one so far.
    """

    name: str
    users: NDArray[np.int64]
    """``[N]`` user rows, from 1."""
    items: NDArray[np.int64]
    """``[N]`` item rows, from 1."""
    ts: NDArray[np.int64]
    """``[N]`` event times, ms UTC, never decreasing."""
    sign: NDArray[np.int8]
    """``[N]`` +1 positive interaction, -1 dislike or removal, 0 neither; by event type alone."""
    target: NDArray[np.bool_]
    """``[N]`` whether the row counts as a hit."""
    borders: NDArray[np.int64]
    """``[G + 1]`` rows where groups begin; group g is the rows ``borders[g]:borders[g + 1]``."""
    order: NDArray[np.int64]
    """``[N]`` the row of :attr:`InteractionLog.frame` that stands here."""
    user_ids: list[str]
    """Id of each user row; entry 0 is empty."""
    item_ids: list[str]
    """Id of each item row; entry 0 is empty."""
    catalogue: dict[int, Item]
    """Item row to what is known of the item, where something is."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Distinct users."""
        return len(self.user_ids) - 1

    @property
    def n_items(self) -> int:
        """Distinct items."""
        return len(self.item_ids) - 1

    @property
    def n_groups(self) -> int:
        """Number of (user, ts) groups."""
        return len(self.borders) - 1

    def basket(self, group: int) -> Basket:
        """Group ``group`` as what a recommender learns."""
        start, stop = int(self.borders[group]), int(self.borders[group + 1])
        return Basket(int(self.users[start]), int(self.ts[start]), self.items[start:stop], self.sign[start:stop])

    def head(self, rows: int) -> CodedLog:
        """The whole groups within the first ``rows`` rows, as if nothing had come after them."""
        groups = np.searchsorted(self.borders, rows, side="right") - 1
        return self.only(np.arange(len(self)) < self.borders[groups])

    def only(self, kept: NDArray[np.bool_]) -> CodedLog:
        """The rows where ``kept`` ``[N]`` holds, as if there had been no others."""
        users, known_users = _recoded(self.users[kept])
        items, known_items = _recoded(self.items[kept])
        starts = np.flatnonzero(np.diff(self.group[kept], prepend=-1))
        return CodedLog(
            name=self.name,
            users=users,
            items=items,
            ts=self.ts[kept],
            sign=self.sign[kept],
            target=self.target[kept],
            borders=np.append(starts, len(users)).astype(np.int64),
            order=self.order[kept],
            user_ids=["", *(self.user_ids[row] for row in known_users)],
            item_ids=["", *(self.item_ids[row] for row in known_items)],
            catalogue={new: self.catalogue[row] for new, row in enumerate(known_items, 1) if row in self.catalogue},
        )

    def some_users(self, count: int, seed: int = 0) -> CodedLog:
        """All rows of ``count`` users, drawn without replacement, as if there had been no others.

        Raises ValueError for a count that is not from 1 to the users there are.
        """
        if not 1 <= count <= self.n_users:
            raise ValueError(f"users: {count} of {self.n_users:,}; draw from 1 to {self.n_users}")
        drawn = np.random.default_rng(seed).choice(self.n_users, count, replace=False) + 1
        return self.only(np.isin(self.users, drawn))

    @functools.cached_property
    def group(self) -> NDArray[np.int64]:
        """``[N]`` each row's group."""
        return np.repeat(np.arange(self.n_groups), np.diff(self.borders))

    @functools.cached_property
    def items_before(self) -> NDArray[np.int64]:
        """``[N]`` the number of items seen before the row's group, which is also the largest row among them."""
        largest = np.concatenate([[0], np.maximum.accumulate(self.items)])
        return largest[self.borders[self.group]]

    @functools.cached_property
    def repeat(self) -> NDArray[np.bool_]:
        """``[N]`` whether the user had met the item in an earlier group."""
        frame = pl.DataFrame({"user": self.users, "item": self.items, "group": self.group})
        return frame.select(pl.col("group") > pl.col("group").min().over("user", "item")).to_series().to_numpy()

    @functools.cached_property
    def user_events_before(self) -> NDArray[np.int64]:
        """``[N]`` events of the row's user before the row's group."""
        counts = pl.DataFrame({"user": self.users}).select(pl.int_range(pl.len()).over("user")).to_series().to_numpy()
        return counts[self.borders[self.group]]

    @functools.cached_property
    def item_events_before(self) -> NDArray[np.int64]:
        """``[N]`` events with the row's item before the row's group."""
        frame = pl.DataFrame({"item": self.items, "group": self.group})
        counted = frame.with_columns(count=pl.int_range(pl.len()).over("item"))
        return counted.select(pl.col("count").min().over("group", "item")).to_series().to_numpy()

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of ids, order, times, signs and targets: equal digests mean equal figures."""
        parts = hashlib.sha256()
        for array in (self.users, self.items, self.ts, self.sign, self.target, self.borders):
            parts.update(np.ascontiguousarray(array).tobytes())
        for ids in (self.user_ids, self.item_ids):
            # Ids may hold any character; their lengths keep ("ab", "c") and ("a", "bc") apart.
            for text in ids:
                encoded = text.encode("utf-8", "surrogatepass")
                parts.update(len(encoded).to_bytes(4, "little") + encoded)
        return parts.hexdigest()

    @functools.cached_property
    def catalogue_digest(self) -> str:
        """sha256 of what is known of the items, by row: figures of what reads it depend on it too."""
        parts = hashlib.sha256()
        for row, item in sorted(self.catalogue.items()):
            parts.update(row.to_bytes(8, "little") + msgspec.msgpack.encode(item, order="sorted"))
        return parts.hexdigest()


def coded(
    log: InteractionLog, targets: Sequence[EventType] = TARGETS, rating_threshold: float | None = None
) -> CodedLog:
    """Code a log: stable order of time, each (user, ts) group brought together at its first row, impressions left out.

    A row is a target if its event type is among ``targets`` and, where ``rating_threshold`` is given and the row is a
    rating, its value is at least that. Raises ValueError for a log without events, and for a target that never says
    "wanted" (impression, dislike, remove).
    """
    if wrong := [event_type.label for event_type in targets if event_type not in POSITIVE]:
        known = ", ".join(event_type.label for event_type in TARGETS)
        raise ValueError(f"targets: {wrong[0]} is never a hit; use some of: {known}")
    frame = (
        log.frame.with_row_index("row")
        .filter(pl.col("event_type") != int(EventType.IMPRESSION))
        .sort("ts", maintain_order=True)
        .with_row_index("place")
        .sort(pl.col("place").min().over("user_id", "ts"), maintain_order=True)
    )
    if not frame.height:
        raise ValueError(f"{log.name}: no interaction besides impressions; nothing can be evaluated")
    users, user_ids = _rows(frame["user_id"])
    items, item_ids = _rows(frame["item_id"])
    ts = frame["ts"].to_numpy()
    starts = np.flatnonzero(np.r_[True, (users[1:] != users[:-1]) | (ts[1:] != ts[:-1])])
    catalogue = log.catalogue
    return CodedLog(
        name=log.name,
        users=users,
        items=items,
        ts=ts,
        sign=frame.select(_sign(POSITIVE) - _sign(NEGATIVE)).to_series().to_numpy(),
        target=_targets(frame, targets, rating_threshold),
        borders=np.append(starts, frame.height).astype(np.int64),
        order=frame["row"].cast(pl.Int64).to_numpy(),
        user_ids=user_ids,
        item_ids=item_ids,
        catalogue={row: catalogue[item_id] for row, item_id in enumerate(item_ids) if item_id in catalogue},
    )


def _recoded(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """Rows ``[N]`` by first appearance from 1, and what each of them was before."""
    known, first, which = np.unique(rows, return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    new = np.empty(len(known), dtype=np.int64)
    new[by_first] = np.arange(1, len(known) + 1)
    return new[which], known[by_first].tolist()


def _rows(ids: pl.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Rows ``[N]`` by first appearance from 1, and the id of each row."""
    known = ids.unique(maintain_order=True)
    rows = pl.DataFrame({"id": ids}).join(
        pl.DataFrame({"id": known}).with_row_index("at", offset=1), on="id", how="left", maintain_order="left"
    )
    return rows["at"].cast(pl.Int64).to_numpy(), ["", *known.to_list()]


def _sign(event_types: Collection[EventType]) -> pl.Expr:
    return pl.col("event_type").is_in([int(event_type) for event_type in event_types]).cast(pl.Int8)


def _targets(frame: pl.DataFrame, targets: Sequence[EventType], rating_threshold: float | None) -> NDArray[np.bool_]:
    wanted = pl.col("event_type").is_in([int(event_type) for event_type in targets])
    if rating_threshold is not None:
        low = (pl.col("event_type") == int(EventType.RATING)) & (pl.col("value").fill_null(-np.inf) < rating_threshold)
        wanted = wanted & ~low
    return frame.select(wanted).to_series().to_numpy()
