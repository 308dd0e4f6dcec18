"""Recorded graphs of a language model in the place of counted ones, for the users that have one at their test place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dyngraph.reasoning import NO_STEP, ReasoningGraph
from evaluation.coded import CodedLog
from evaluation.reasoning.held_out import HeldOutHistories
from evaluation.reasoning.rows import ChainBuilding
from models.llmrg.chains import Chains, PlacedChains, gathered
from models.sequential.histories import Places

_packer, _unpacker = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[ReasoningGraph])


def write_graphs(path: Path, graphs: Sequence[ReasoningGraph]) -> None:
    """Keep recorded graphs, whole or not at all."""
    written = path.with_suffix(".writing")
    written.write_bytes(_packer.encode(list(graphs)))
    written.replace(path)


def read_graphs(path: Path) -> list[ReasoningGraph]:
    """Graphs that :func:`write_graphs` kept. Raises ValueError for a file that is not there or holds something else."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; make it with recorded_reasoning.py")
    try:
        return _unpacker.decode(path.read_bytes())
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} holds no recorded graphs ({error}); make it with recorded_reasoning.py") from error


class RecordedChains:
    """A :class:`~evaluation.reasoning.rows.ChainBuilding`: recorded graphs at the test places of their users, those of
    ``build`` everywhere else, in training too. A graph that was made from another past than stands before the test
    place (a test item in it, the events of a day in another order) is left out and counted.
    """

    def __init__(self, build: ChainBuilding, graphs: Sequence[ReasoningGraph]) -> None:
        self.refused: Counter[str] = Counter()
        """By reason: ``unknown_user``, ``another_past``."""
        self.build = build
        """Who makes the counted ones."""
        self._graphs = {graph.user_id: graph for graph in graphs}

    def __call__(self, log: CodedLog, data: HeldOutHistories, threshold: float | None) -> RecordedPlaces:
        """``threshold`` is for the counted ones: a recorded graph holds what held up when it was made."""
        counted = self.build(log, data, threshold)
        rows = {item_id: row for row, item_id in enumerate(log.item_ids) if row}
        return RecordedPlaces(**_fields(counted), graphs=self.placed(log, data), rows=rows)

    def placed(self, log: CodedLog, data: HeldOutHistories) -> dict[int, ReasoningGraph]:
        """The graphs by test place, those left out that do not belong there."""
        tested = {log.user_ids[user]: place for user, place in zip(_users(log, data), data.tests.tolist(), strict=True)}
        found = {}
        self.refused.clear()
        for user_id, graph in self._graphs.items():
            place = tested.get(user_id)
            if place is None:
                self.refused["unknown_user"] += 1
            elif _is_past(graph, place, log, data):
                found[place] = graph
            else:
                self.refused["another_past"] += 1
        return found


def _users(log: CodedLog, data: HeldOutHistories) -> NDArray[np.int64]:
    return log.users[data.rows[data.tests]]


def _is_past(graph: ReasoningGraph, place: int, log: CodedLog, data: HeldOutHistories) -> bool:
    """Whether the graph's steps are the newest events before the place, and nothing else."""
    known, steps = place - int(data.histories.starts[place]), len(graph.steps)
    before = data.histories.items[place - min(steps, known) : place]
    past = [log.item_ids[item] for item in before.tolist()]
    return graph.events == known and past == [step.item_id for step in graph.steps]


@dataclass(frozen=True)
class RecordedPlaces(PlacedChains):
    """Chains of which some questions have their own, recorded ones."""

    graphs: Mapping[int, ReasoningGraph]
    """By the place of the question."""
    rows: Mapping[str, int]
    """Of each item id."""

    def at(self, places: Places, longest: int = 50) -> Chains:
        """As of :class:`PlacedChains`. Raises ValueError for recorded concepts of another text model's width."""
        own = [self.graphs.get(place) for place in places.tolist()]
        counted = super().at(places, longest)
        if not any(own):
            return counted
        return _instead(counted, gathered(own, self.rows, self.vectors.shape[1]), np.array([bool(one) for one in own]))


@dataclass(frozen=True)
class NewestOnly(PlacedChains):
    """Chains over no more than the newest steps: counted ones as short as recorded ones are."""

    most: int

    def at(self, places: Places, longest: int = 50) -> Chains:
        """As of :class:`PlacedChains`."""
        return super().at(places, min(longest, self.most))


def newest_only(chains: PlacedChains, most: int) -> NewestOnly:
    """The same chains, of the latest ``most`` steps before each question."""
    return NewestOnly(**_fields(chains), most=most)


def _fields(chains: PlacedChains) -> dict[str, Any]:
    return {field.name: getattr(chains, field.name) for field in fields(PlacedChains)}


def _instead(chains: Chains, others: Chains, which: NDArray[np.bool_]) -> Chains:
    """``chains`` with those of the users ``which`` ``[B]`` taken from ``others``, which has no further users' steps."""
    kept, imagined = ~which[chains.user], ~which[chains.imagined_user]
    # Where each step stands among those that are kept, the others' behind them; then in the order of the users.
    ours, theirs = np.cumsum(kept) - 1, int(kept.sum()) + np.arange(len(others.user))
    user = np.concatenate([chains.user[kept], others.user])
    order = np.argsort(user, kind="stable")
    place = np.argsort(order)

    def moved(one: NDArray[np.int64], to: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(to):
            return one
        return np.where(one == NO_STEP, NO_STEP, place[to[one]])

    new_concepts = np.where(others.concept > 0, others.concept + len(chains.vectors) - 1, 0)
    imagined_user = np.concatenate([chains.imagined_user[imagined], others.imagined_user])
    by_user = np.argsort(imagined_user, kind="stable")
    steps = [moved(chains.imagined_step[imagined], ours), moved(others.imagined_step, theirs)]
    return Chains(
        users=chains.users,
        user=user[order],
        item=np.concatenate([chains.item[kept], others.item])[order],
        came_from=np.concatenate([moved(chains.came_from[kept], ours), moved(others.came_from, theirs)])[order],
        concept=np.concatenate([chains.concept[kept], new_concepts])[order],
        imagined_user=imagined_user[by_user],
        imagined_step=np.concatenate(steps)[by_user],
        imagined_item=np.concatenate([chains.imagined_item[imagined], others.imagined_item])[by_user],
        imagined_score=np.concatenate([chains.imagined_score[imagined], others.imagined_score])[by_user],
        vectors=np.concatenate([chains.vectors, others.vectors[1:]]),
    )
