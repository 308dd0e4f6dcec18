"""Chains of reasons of many users as arrays, gathered per question from what the user had done by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dyngraph.reasoning import NO_STEP, ReasoningGraph
from models.sequential.histories import Histories, Places

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class Chains(NamedTuple):
    """Steps and imagined items of B users, those of one user together and the oldest first."""

    users: int
    """B; one without steps has no chains."""
    user: Ints
    """``[S]`` whose step it is, 0 to B - 1, never falling."""
    item: Ints
    """``[S]`` item rows, from 1."""
    came_from: Ints
    """``[S]`` an earlier step of the same user, by its place in these arrays; -1 opens a chain."""
    concept: Ints
    """``[S]`` rows of ``vectors``, 0 for none."""
    imagined_user: Ints
    """``[D]``."""
    imagined_step: Ints
    """``[D]`` the step that it would go on from."""
    imagined_item: Ints
    """``[D]`` item rows."""
    imagined_score: Floats
    """``[D]`` verification scores, 0 to 100."""
    vectors: Floats
    """``[1 + concepts, w]`` text vectors; row 0 is nobody's."""


@dataclass(frozen=True)
class PlacedChains:
    """Chains along :class:`~models.sequential.histories.Histories`, one growing graph per user.

    A step belongs to the place of the event that it is about, an imagined item to the place of the question that it
    was imagined for. The graph for a question at place p is made of the user's steps before p and of what was imagined
    for p, so every training example has the graph of its own moment and nothing that came later.

    Raises ValueError for a step that comes from a later or another user's, and for places that fall.
    """

    histories: Histories
    place: Places
    """``[S]``, rising."""
    came_from: Ints
    """``[S]`` an earlier step by its place in these arrays, -1 for one that opens a chain."""
    concept: Ints
    """``[S]`` rows of ``vectors``, 0 for none."""
    imagined_place: Places
    """``[D]`` places of questions, never falling."""
    imagined_step: Ints
    """``[D]`` steps that they would go on from, of events before the question."""
    imagined_item: Ints
    """``[D]`` item rows."""
    imagined_score: Floats
    """``[D]`` verification scores, 0 to 100."""
    vectors: Floats
    """``[1 + concepts, w]``."""

    def __post_init__(self) -> None:
        if (np.diff(self.place) <= 0).any() or (np.diff(self.imagined_place) < 0).any():
            raise ValueError("places of steps must rise and those of imagined items must not fall; sort them")
        linked = np.flatnonzero(self.came_from != NO_STEP)
        self._check("step", self.place[linked], self.came_from[linked])
        self._check("imagined item", self.imagined_place, self.imagined_step)

    def at(self, places: Places, longest: int = 50) -> Chains:
        """The chains known at each of B questions, of the latest ``longest`` steps; what came from an older one opens a
        chain."""
        ends = np.searchsorted(self.place, places)
        first = np.maximum(np.searchsorted(self.place, self.histories.starts[places]), ends - longest)
        user, step = _ranges(first, ends)
        # Where step s of question u stands in the arrays that are handed out.
        shift = np.cumsum(ends - first) - ends
        before = self.came_from[step]
        begin, end = np.searchsorted(self.imagined_place, places), np.searchsorted(self.imagined_place, places, "right")
        imagined_user, imagined = _ranges(begin, end)
        kept = self.imagined_step[imagined] >= first[imagined_user]
        imagined_user, imagined = imagined_user[kept], imagined[kept]
        return Chains(
            users=len(places),
            user=user,
            item=self.histories.items[self.place[step]],
            came_from=np.where(before >= first[user], before + shift[user], NO_STEP),
            concept=self.concept[step],
            imagined_user=imagined_user,
            imagined_step=self.imagined_step[imagined] + shift[imagined_user],
            imagined_item=self.imagined_item[imagined],
            imagined_score=self.imagined_score[imagined],
            vectors=self.vectors,
        )

    def _check(self, what: str, places: Places, steps: Ints) -> None:
        """That what stands at each place goes on from a step of the same user before it."""
        if not ((steps >= 0) & (steps < len(self.place))).all():
            raise ValueError(f"an {what} goes on from a step that does not exist; use 0 to {len(self.place) - 1}")
        origin = self.place[steps]
        wrong = (origin >= places) | (self.histories.starts[origin] != self.histories.starts[places])
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"the {what} at place {places[at]} goes on from the step at place {origin[at]}; "
                "a chain goes on from an earlier event of the same user"
            )


def sequence_chains(histories: Histories, width: int = 1) -> PlacedChains:
    """The control without reasons: every event goes on from the one before it (SR-GNN's session graph)."""
    places = np.arange(len(histories.items))
    nothing = np.zeros(0, dtype=np.int64)
    return PlacedChains(
        histories=histories,
        place=places,
        came_from=np.where(histories.known(places) > 0, places - 1, NO_STEP),
        concept=np.zeros(len(places), dtype=np.int64),
        imagined_place=nothing,
        imagined_step=nothing,
        imagined_item=nothing,
        imagined_score=np.zeros(0, dtype=np.float32),
        vectors=np.zeros((1, width), dtype=np.float32),
    )


def gathered(graphs: Sequence[ReasoningGraph | None], rows: Mapping[str, int], width: int) -> Chains:
    """The newest graphs of some users, as they are on line; None for a user without one.

    ``rows`` gives the row of each known item, ``width`` is that of the concepts' text vectors. Items without a row are
    left out, and what came from them opens a chain. Raises ValueError for vectors of another width.
    """
    user: list[int] = []
    item: list[int] = []
    came_from: list[int] = []
    concept: list[int] = []
    imagined: list[tuple[int, int, int]] = []
    scores: list[float] = []
    vectors = [np.zeros((1, width), dtype=np.float32)]
    for which, graph in enumerate(graphs):
        if graph is None:
            continue
        before = sum(map(len, vectors))
        vectors.append(_vectors(graph, width))
        concepts = {name: before + at for at, name in enumerate(graph.concepts)}
        stands: dict[int, int] = {NO_STEP: NO_STEP}
        for place, step in enumerate(graph.steps):
            if step.item_id in rows:
                stands[place] = len(item)
                user.append(which)
                item.append(rows[step.item_id])
                came_from.append(stands.get(step.came_from, NO_STEP))
                concept.append(concepts.get(step.concept, 0))
        for one in graph.imagined:
            if one.item_id in rows and one.step in stands and one.step != NO_STEP:
                imagined.append((which, stands[one.step], rows[one.item_id]))
                scores.append(one.score)
    divergent = np.array(imagined, dtype=np.int64).reshape(-1, 3)
    return Chains(
        users=len(graphs),
        user=np.array(user, dtype=np.int64),
        item=np.array(item, dtype=np.int64),
        came_from=np.array(came_from, dtype=np.int64),
        concept=np.array(concept, dtype=np.int64),
        imagined_user=divergent[:, 0],
        imagined_step=divergent[:, 1],
        imagined_item=divergent[:, 2],
        imagined_score=np.array(scores, dtype=np.float32),
        vectors=np.concatenate(vectors),
    )


def _vectors(graph: ReasoningGraph, width: int) -> Floats:
    flat = np.frombuffer(graph.vectors, dtype="<f2").astype(np.float32)
    if len(flat) != len(graph.concepts) * width:
        raise ValueError(
            f"graph of user {graph.user_id!r}: {len(graph.concepts)} concepts of width {width} take "
            f"{len(graph.concepts) * width} numbers, not {len(flat)}; make it again with the text model in use"
        )
    return flat.reshape(-1, width)


def _ranges(first: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The numbers from ``first`` to before ``ends`` ``[B]`` of each range in turn, and which range each is of."""
    counts = ends - first
    which = np.repeat(np.arange(len(first)), counts)
    return which, np.arange(len(which)) + (first - (np.cumsum(counts) - counts))[which]
