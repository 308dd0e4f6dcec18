"""The reading side of a shard: what is asked of it between steps, and which moment "now" is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from dyngraph.engine import Engine
from dyngraph.events import EventType
from dyngraph.lists import Filters, HistoryEntry, RecommendationList
from dyngraph.order import Moment


class ShardReading:
    """Lists and histories from an engine, at a moment told by ``clock``: ``wall``, or ``log``."""

    def __init__(self, engine: Engine, clock: str) -> None:
        self.engine = engine
        self._clock = clock
        self._moved_on()

    def _moved_on(self) -> None:
        """The newest events came just now."""
        self._newest_at = time.monotonic()

    @property
    def horizon(self) -> Moment:
        """The newest event that the state has seen."""
        return self.engine.graph.horizon

    def now(self) -> Moment:
        """The moment of a list that is asked for without one, by the shard's clock."""
        horizon = self.horizon
        if self._clock == "wall":
            ts = int(time.time() * 1000)
        else:
            ts = horizon.ts + int(1000 * (time.monotonic() - self._newest_at))
        return Moment(max(ts, horizon.ts), horizon.seq + 1)

    def recommend(
        self,
        users: Sequence[str],
        at: Moment | None = None,
        k: int = 10,
        filters: Filters | None = None,
    ) -> list[RecommendationList]:
        """Read-only lists at ``at``, by default now. See :meth:`Engine.recommend`."""
        return self.engine.recommend(users, at or self.now(), k, filters)

    def history(self, user_id: str, n: int = 20) -> list[HistoryEntry]:
        """The user's kept edges, newest first (at most the ring's size)."""
        graph = self.engine.graph
        row = graph.user_ids.find([user_id])
        if not int(row[0]):
            return []
        end = torch.tensor([2**62])
        near = graph.users.neighbours.before(row, end, end)
        edges = sorted(
            (
                (ts, seq, node, kind)
                for ts, seq, node, kind, usable in zip(
                    *(column[0].tolist() for column in (near.ts, near.seq, near.nodes, near.types, near.mask)),
                    strict=True,
                )
                if usable
            ),
            reverse=True,
        )
        entries = []
        for ts, _, node, kind in edges[:n]:
            item_id = graph.item_ids[node]
            entries.append(HistoryEntry(item_id, graph.catalogue.title(item_id), EventType(kind).label, ts))
        return entries
