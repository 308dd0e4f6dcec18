"""The one shape of a historical log: what replay, publishing and evaluation are handed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from dyngraph.event_id import derive_event_id
from dyngraph.events import EventType, Interaction, Item

SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "event_type": pl.Int8,
    "ts": pl.Int64,
    "value": pl.Float64,
}

_KEY = ("user_id", "item_id", "event_type", "ts")


@dataclass(frozen=True)
class InteractionLog:
    """Interactions in stable time order, and the catalogue that came with them.

    ``frame`` has exactly the columns of :data:`SCHEMA`: ids as text, ``event_type`` as the number of
    :class:`~dyngraph.events.EventType`, ``ts`` in milliseconds UTC, ``value`` null where there is none.
    ``dropped`` maps a reason to the number of rows left out; ``notes`` say what was assumed or changed.
    """

    name: str
    frame: pl.DataFrame
    items: list[Item] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.frame.height

    @property
    def n_users(self) -> int:
        """Distinct users."""
        return self.frame["user_id"].n_unique()

    @property
    def n_items(self) -> int:
        """Distinct items with at least one interaction (the catalogue may hold more)."""
        return self.frame["item_id"].n_unique()

    @property
    def span(self) -> tuple[int, int]:
        """First and last event time, ms UTC."""
        ts = self.column("ts")
        return int(ts[0]), int(ts[-1])

    @functools.cached_property
    def catalogue(self) -> dict[str, Item]:
        """``items`` by id."""
        return {item.item_id: item for item in self.items}

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """One column of ``frame`` as an array ``[N]`` (ids: object array of ``str``; absent values: NaN)."""
        return self.frame[name].to_numpy()

    def head(self, n: int) -> InteractionLog:
        """The log's first ``n`` interactions, with the whole catalogue."""
        return InteractionLog(self.name, self.frame.head(n), self.items, self.dropped, self.notes)

    def interactions(self, start: int = 0, stop: int | None = None) -> Iterator[Interaction]:
        """Interactions ``start`` to ``stop`` in log order, with the ids of :meth:`event_ids`."""
        part = self.frame[start : len(self) if stop is None else stop]
        types = {int(event_type): event_type for event_type in EventType}
        for event_id, user, item, event_type, ts, value in zip(
            self.event_ids[start:stop],
            part["user_id"].to_list(),
            part["item_id"].to_list(),
            part["event_type"].to_list(),
            part["ts"].to_list(),
            part["value"].to_list(),
            strict=True,
        ):
            yield Interaction(event_id, user, item, types[event_type], ts, value)

    @functools.cached_property
    def event_ids(self) -> list[str]:
        """Ids that name the same event each time the file is read, also after rows were added to it.

        They are derived from (user, item, type, ts) by the rule of the live path, so that replayed and
        published events carry the same id. A repeated row is an event of its own and gets its occurrence
        number appended, or a dedupe window would swallow it.
        """
        labels = {int(event_type): event_type.label for event_type in EventType}
        return [
            derive_event_id(user, item, labels[event_type], ts, repeat)
            for (user, item, event_type, ts), repeat in zip(
                self.frame.select(_KEY).iter_rows(), self.repeats, strict=True
            )
        ]

    @functools.cached_property
    def repeats(self) -> list[int]:
        """How many rows before each one say the very same (user, item, type, ts)."""
        return self.frame.select(pl.int_range(pl.len()).over(_KEY)).to_series().to_list()
