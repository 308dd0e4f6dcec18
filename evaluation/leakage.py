"""Proofs by experiment that an engine sees neither the future nor the label.

Both mistakes flatter every figure and neither shows in a curve. So the log is changed where a rank must not look, the
engine is run again, and every candidate and every score of every ranking is compared. Meant for tests and for anyone
who adds a source or an encoder; a small log is enough, because one leaking event is.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.engine import Engine, StepResult
from dyngraph.events import POSITIVE, EventType, Interaction
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Feature, Queries, Ranker, Update
from dyngraph.state import State

Build = Callable[[], Engine]
Events = Sequence[tuple[int, Interaction]]

TOLERANCE = 1e-4
"""Largest difference of a score that counts as none: float32 sums depend a little on the shape of a batch."""

NEW_ITEM = "\0an item that nobody has met"


class LeakageError(AssertionError):
    """Raised when something was seen that could not be known yet."""


def check_no_future(
    build: Build, log: Events, *, batch: int = 8, learn: bool = True, seed: int = 0, tolerance: float = TOLERANCE
) -> int:
    """What comes after an event changes nothing about its ranking, not even within one step.

    ``log`` is ``(seq, interaction)`` in time order, taken in steps of ``batch`` events by engines of ``build``. For
    several places in it everything later is deleted, and in another run shuffled and replaced; every rank of every
    model and every candidate's score up to that place must stay. Returns the number of compared rankings; raises
    :class:`LeakageError` that names the first difference.
    """
    events = [event for event in log if event[1].event_type is not EventType.IMPRESSION]
    whole = _Run(build, events, batch, learn)
    compared = 0
    for last in _places(len(events), batch):
        for what, changed in _futures(events, last, seed):
            other = _Run(build, changed, batch, learn)
            for place in range(last + 1):
                where = f"{what} everything after event {last} changed what event {place} met"
                _compare(where, whole, other, place, tolerance)
                compared += 1
    return compared


def check_no_label(
    build: Build, log: Events, *, batch: int = 8, learn: bool = True, tolerance: float = TOLERANCE
) -> int:
    """Another true item changes no candidate of its event's ranking, and no score.

    One event of each step (a different place each time) gets another item in turn: one known before, and one that
    nobody has met. Returns the number of compared rankings; raises :class:`LeakageError`.
    """
    events = [event for event in log if event[1].event_type is not EventType.IMPRESSION]
    whole = _Run(build, events, batch, learn)
    compared = 0
    for number, start in enumerate(range(0, len(events), batch)):
        place = min(start + number % batch, len(events) - 1)
        seq, event = events[place]
        known = sorted({earlier.item_id for _, earlier in events[:start]} - {event.item_id})
        for item in (*known[number % len(known) :][:1], NEW_ITEM) if known else (NEW_ITEM,):
            changed = [*events[:place], (seq, msgspec.structs.replace(event, item_id=item)), *events[place + 1 :]]
            other = _Run(build, changed[: start + batch], batch, learn)
            where = f"giving event {place} the item {item!r} instead of {event.item_id!r} changed its own ranking"
            _compare(where, whole, other, place, tolerance, ranks=False)
            compared += 1
    return compared


def _places(events: int, batch: int) -> Iterator[int]:
    """One place in each step, a different one each time, so that borders and insides of steps are both met."""
    for number, start in enumerate(range(0, events, batch)):
        yield min(start + (number * 3) % batch, events - 1)


def _futures(events: Events, last: int, seed: int) -> Iterator[tuple[str, Events]]:
    past, future = list(events[: last + 1]), events[last + 1 :]
    yield "deleting", past
    order = random.Random(seed + last)
    shuffled = order.sample([event for _, event in future], len(future))
    users = sorted({event.user_id for _, event in events})
    yield (
        "shuffling",
        past
        + [
            (
                seq,
                msgspec.structs.replace(
                    other,
                    ts=event.ts,
                    user_id=order.choice(users),
                    item_id=order.choice((other.item_id, f"{NEW_ITEM} {seq}")),
                ),
            )
            for (seq, event), other in zip(future, shuffled, strict=True)
        ],
    )


def _compare(where: str, expected: _Run, found: _Run, place: int, tolerance: float, *, ranks: bool = True) -> None:
    event = expected.events[place][1]
    before, after = expected.scores[place], found.scores[place]
    who = f"user {event.user_id!r} at {event.ts}"
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())[0]
        raise LeakageError(f"{where}: {odd!r} is a candidate for {who} in one run only")
    close = 0
    for item, score in before.items():
        if not math.isclose(score, after[item], rel_tol=tolerance, abs_tol=tolerance):
            raise LeakageError(f"{where}: the score of {item!r} for {who} went from {score} to {after[item]}")
        close += math.isclose(score, before.get(event.item_id, math.inf), rel_tol=tolerance, abs_tol=tolerance)
    for model in expected.ranks[place] if ranks else ():
        one, two = expected.ranks[place][model], found.ranks[place][model]
        # Scores that are equal but for rounding may change places; the baselines' are exact counts.
        slack = close if model == "evergraph" else 0
        if not (one == two or abs(one - two) <= slack or (math.isnan(one) and math.isnan(two))):
            raise LeakageError(f"{where}: {model} ranked {event.item_id!r} for {who} at {one}, then at {two}")


@dataclass
class _Run:
    """One engine's way through a log: per event all ranks, and all candidates with their scores."""

    build: Build
    events: Events
    batch: int
    learn: bool
    ranks: list[dict[str, float]] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = self.build()
        watch = _Watch(engine)
        for start in range(0, len(self.events), self.batch):
            step = self.events[start : start + self.batch]
            if any(one[1].ts > two[1].ts for one, two in itertools.pairwise(step)):
                raise ValueError(f"events {start} to {start + len(step) - 1} are not in time order; sort the log")
            watch.start_step()
            result = engine.step(step, learn=self.learn)
            self.ranks += _ranks(result)
            for _, event in step:
                self.scores.append(watch.ranking(event) if event.event_type in POSITIVE else {})


def _ranks(result: StepResult) -> list[dict[str, float]]:
    columns: dict[str, NDArray[np.float64]] = result.ranks
    return [{model: float(rank[place]) for model, rank in columns.items()} for place in range(result.events)]


class _Watch:
    """Sits in an engine as a source without candidates and before its ranker, and notes every ranking."""

    name = "watch"
    features: tuple[Feature, ...] = ()

    def __init__(self, engine: Engine) -> None:
        self._engine, self._ranker = engine, engine.ranker
        self._queries: Queries | None = None
        self._items = torch.zeros(0, 0, dtype=torch.int64)
        self._rankings: dict[tuple[str, int], dict[str, float]] = {}
        engine.sources.append(self)
        ranker: Ranker = self
        engine.ranker = ranker

    def ranking(self, event: Interaction) -> dict[str, float]:
        """Candidates and scores that the event's user and moment met in the newest step."""
        return self._rankings[event.user_id, event.ts]

    def start_step(self) -> None:
        """Forget the rankings of earlier steps."""
        self._rankings.clear()

    def grow(self, users: int, items: int) -> None:
        """No rows."""

    def truncate(self, users: int, items: int) -> None:
        """No rows."""

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """Nothing."""
        return torch.zeros(len(queries), 1, dtype=torch.int64)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Note the candidates; no feature."""
        self._queries, self._items = queries, items
        return torch.zeros(*items.shape, 0)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Nothing."""

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """No reasons."""
        return ["" for _ in causes]

    def forget_user(self, user: int) -> None:
        """Nothing is kept."""

    def gates(self, context: Tensor) -> Tensor:
        """The ranker's; what it makes of the noted candidates is noted."""
        gates = self._ranker.gates(context)
        if self._queries is not None:
            graph = self._engine.graph
            totals = torch.bmm(self._features(), gates.unsqueeze(2)).squeeze(2).tolist()
            for query, (user, ts) in enumerate(zip(self._queries.names, self._queries.ts.tolist(), strict=True)):
                self._rankings[user, ts] = {
                    graph.item_ids[item]: score
                    for item, score in zip(self._items[query].tolist(), totals[query], strict=True)
                    if item
                }
        return gates

    def _features(self) -> Tensor:
        assert self._queries is not None
        described = (
            source.describe(self._engine.graph, self._queries, self._items)
            for source in self._engine.sources
            if source is not self
        )
        return torch.cat(list(described), dim=2)

    def plan(self, features: Tensor, context: Tensor, scores: Tensor, query: Tensor, place: Tensor) -> Update | None:
        """The ranker's."""
        return self._ranker.plan(features, context, scores, query, place)

    def state(self) -> State:
        """The ranker's."""
        return self._ranker.state()

    def load_state(self, state: State) -> None:
        """The ranker's."""
        self._ranker.load_state(state)
