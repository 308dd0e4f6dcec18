"""Reasoning graphs by user: the last versions, each of which counts only after its horizon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.ids import IdTable
from dyngraph.nodes import NodeStore
from dyngraph.reasoning import NO_STEP, ReasoningGraph
from dyngraph.state import State
from dyngraph.versions import Found, Horizons, Versions

MOST_STEPS = 64
MOST_IMAGINED = 32
MOST_CONCEPTS = 2 * MOST_STEPS
BEST_SCORE = 100.0

Met = Callable[[Tensor, Tensor], Tensor]
"""``[U, C]``, not 0 where user rows ``[U]`` had an event with item rows ``[U, C]``."""


class ReasoningStore:
    """The last versions of each user's reasoning graph, see :class:`dyngraph.versions.Versions`."""

    def __init__(self, rows: IdTable, items: IdTable, users: NodeStore, width: int) -> None:
        """Of users in ``rows``, of whose events ``users`` tells, with ``items``, and with concept vectors of ``width``
        numbers; with width 0 no graph fits.
        """
        self.width = width
        self.met: Met | None = None
        """What users have met, set by who counts it; without it a chain is not asked whose items it is about."""
        self.refused: Counter[str] = Counter()
        """Graphs not taken since the start, by reason, see :meth:`judge`; the shard does not count ``known`` ones."""
        self._ids, self._items, self._users = rows, items, users
        self._kept = Versions(ReasoningGraph)

    def __len__(self) -> int:
        """Users with a graph."""
        return len(self._kept)

    @property
    def changes(self) -> int:
        """Grows with every graph that comes or goes; who has seen this count has seen all."""
        return self._kept.changes

    def judge(self, graph: ReasoningGraph) -> str:
        """Why a graph cannot be taken, empty if it can: ``unfit`` (see :func:`faults`, or vectors of another width),
        ``stranger`` (no user of the graph), ``ahead`` (its horizon is one that the user has not reached), ``untouched``
        (a step is about an item that the user never met), ``known`` (this very version is kept), ``stale`` (another as
        new is kept).
        """
        if not self._fits(graph):
            return "unfit"
        row = int(self._ids.find([graph.user_id])[0])
        if not row:
            return "stranger"
        if graph.ts > max(int(self._users.last_ts[row]), 0) or graph.events > int(self._users.events[row]):
            return "ahead"
        if not self._touched(row, graph):
            return "untouched"
        if graph.ts > self._kept.newest_ts(row):
            return ""
        return "known" if graph in self._kept.of(row) else "stale"

    def put(self, graph: ReasoningGraph) -> bool:
        """Keep a version, and drop the oldest of four. False, and counted in :attr:`refused`, where :meth:`judge` has
        something against it.
        """
        if reason := self.judge(graph):
            self.refused[reason] += 1
            return False
        self._kept.add(int(self._ids.find([graph.user_id])[0]), graph.ts, graph.events, graph)
        return True

    def forget(self, row: int) -> None:
        """Drop all versions of one user row."""
        self._kept.forget(row)

    def found(self, users: Tensor, ts: Tensor) -> Found:
        """Which versions count for the user rows ``users [U]`` at ``ts [U]`` (int64 ms)."""
        return self._kept.found(users, ts)

    def counting(self, users: Tensor, ts: Tensor) -> list[ReasoningGraph | None]:
        """The newest version that counts for each of the user rows ``users [U]`` at ``ts [U]`` (int64 ms)."""
        pairs = zip(users.tolist(), ts.tolist(), strict=True)
        return [self.newest(row, moment) for row, moment in pairs]

    def horizons(self, users: NDArray[np.int64]) -> Horizons:
        """Of the newest graph of the user rows ``users [n]``; strangers have none."""
        return self._kept.horizons(users)

    def newest(self, row: int, before_ts: int | None = None) -> ReasoningGraph | None:
        """One user's newest version; with ``before_ts`` (ms) the newest with an earlier horizon."""
        place = self._kept.newest(row, before_ts)
        return None if place is None else self._kept.of(row)[place]

    def _touched(self, row: int, graph: ReasoningGraph) -> bool:
        """Whether the user has met what the steps are about."""
        if self.met is None or not graph.steps:
            return True
        items = torch.as_tensor(self._items.find(sorted({step.item_id for step in graph.steps})))
        return bool(((items > 0) & (self.met(torch.tensor([row]), items.unsqueeze(0))[0] != 0)).all())

    def _fits(self, graph: ReasoningGraph) -> bool:
        if next(faults(graph), None) is not None or len(graph.vectors) != 2 * len(graph.concepts) * self.width:
            return False
        return self.width > 0 and bool(np.isfinite(np.frombuffer(graph.vectors, "<f2")).all())

    def state(self) -> State:
        """All versions."""
        return self._kept.state()

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._kept.load_state(state)


def faults(graph: ReasoningGraph) -> Iterator[str]:
    """What is wrong with a graph as such: a chain that runs in a circle or comes from nowhere, an item after the
    horizon, a score outside 0 to 100, a concept without a vector, more than is allowed of anything.
    """
    if graph.ts < 0 or graph.events < 0:
        yield f"its horizon {graph.ts} or its {graph.events} events are negative"
    for what, count, most in (
        ("steps", len(graph.steps), MOST_STEPS),
        ("imagined items", len(graph.imagined), MOST_IMAGINED),
        ("concepts", len(graph.concepts), MOST_CONCEPTS),
    ):
        if count > most:
            yield f"it has {count} {what}, more than {most}"
    concepts = set(graph.concepts)
    for place, step in enumerate(graph.steps):
        if not NO_STEP <= step.came_from < place:
            yield f"step {place} goes on from step {step.came_from}, which is none before it"
        if not step.item_id or not 0 <= step.ts <= graph.ts:
            yield f"step {place} is about no item up to the horizon"
        if step.concept and step.concept not in concepts:
            yield f"step {place} names the concept {step.concept!r}, which is not among the graph's"
        if not 0 <= step.score <= BEST_SCORE:
            yield f"step {place} has the score {step.score}, outside 0 to {BEST_SCORE:g}"
    for place, one in enumerate(graph.imagined):
        if not 0 <= one.step < len(graph.steps):
            yield f"imagined item {place} goes on from step {one.step}, which does not exist"
        if not 0 <= one.score <= BEST_SCORE or not -1.001 <= one.similarity <= 1.001:
            yield f"imagined item {place} has a score or a similarity out of bounds"
