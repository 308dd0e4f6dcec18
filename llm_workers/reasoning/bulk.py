"""Statistical reasoning graphs of every user of a data set, for every prefix of their histories, in minutes.

Steps are only added, so one array of steps holds the graphs of all prefixes: the graph as of a user's n-th event is
the first n of them (of these the newest ``most_steps``). Imagined items differ from prefix to prefix and are kept for
each. No event of a user, and no later one of anybody that is not ``counted``, has a part in what is imagined for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyngraph.reasoning import AGAIN, NO_STEP, OPENS, Imagined, ReasoningGraph, Step
from llm_workers.protocols import PastItem
from llm_workers.reasoning.coded import CodedCatalogue, Histories
from llm_workers.reasoning.counted import CountedNeighbours
from llm_workers.reasoning.evidence import RELATIONS, sentence
from llm_workers.reasoning.facts import called
from llm_workers.reasoning.kernel_arrays import Bounds, Made, Scratch
from llm_workers.reasoning.kernels import reason_about
from llm_workers.reasoning.settings import MOST_CHAIN, ReasoningSettings
from llm_workers.reasoning.statistical import StatisticalReasoner
from llm_workers.reasoning.steps import Steps

RELATION_NAMES = (*RELATIONS, OPENS, AGAIN)
"""Of the codes in :attr:`BulkGraphs.relation`."""
USERS_AT_ONCE = 500

Progress = Callable[[int, int], None]
"""Told how many users are done, and of how many."""


@dataclass(frozen=True)
class BulkGraphs:
    """Graphs of U users with E events; event e of the histories is step e.

    The graph of user u as of their n-th event: steps ``borders[u]:borders[u] + n``, imagined items of event
    ``e = borders[u] + n - 1``: ``imagined[imagined_borders[e]:imagined_borders[e + 1]]``.
    """

    borders: NDArray[np.int64]
    """``[U + 1]``."""
    item: NDArray[np.int32]
    """``[E]`` item code of the step."""
    came_from: NDArray[np.int32]
    """``[E]`` place in the user's history (from 0) of the step that it goes on from, -1 opens a chain."""
    relation: NDArray[np.int8]
    """``[E]`` into :data:`RELATION_NAMES`."""
    concept: NDArray[np.int32]
    """``[E]`` into :attr:`concepts`, 0 for none."""
    score: NDArray[np.float32]
    """``[E]`` 0 to 100."""
    dropped: NDArray[np.int8]
    """``[E]`` proposals that did not hold up."""
    imagined_borders: NDArray[np.int64]
    """``[E + 1]``."""
    imagined: NDArray[np.int32]
    """``[I]`` item codes, the most credible first."""
    imagined_step: NDArray[np.int32]
    """``[I]`` place in the user's history of the step that it would go on from."""
    imagined_after: NDArray[np.int32]
    """``[I]`` place in the user's history of the item whose neighbour it is: of that step or one before it."""
    imagined_score: NDArray[np.float32]
    """``[I]`` 0 to 100."""
    concepts: Sequence[str]
    """Name of each concept code; entry 0 is empty."""

    def graph(
        self,
        user: int,
        events: int,
        catalogue: Sequence[PastItem],
        ts: Sequence[int] | NDArray[np.integer],
        *,
        user_id: str = "",
        most_steps: int = 50,
    ) -> ReasoningGraph:
        """One user's graph as of their ``events``-th event, with its words; ``ts`` are the user's event times, ms.

        ``catalogue`` gives the texts by item code. It has no concept vectors. Raises ``ValueError`` for a number of
        events that the user does not have.
        """
        begin, length = int(self.borders[user]), int(self.borders[user + 1] - self.borders[user])
        if not 0 < events <= length:
            raise ValueError(f"events = {events}: user {user} has 1 to {length}")
        steps = Steps((), most_steps)
        for place in range(events):
            steps.append(self._step(begin, place, max(0, place - most_steps), catalogue, int(ts[place])))
        gone = max(0, events - most_steps)
        rows = range(*self.imagined_borders[begin + events - 1 : begin + events + 1].tolist())
        imagined = tuple(self._imagined(row, begin, gone, catalogue) for row in rows)
        return ReasoningGraph(
            user_id,
            int(ts[events - 1]),
            -1,
            events,
            tuple(steps.all),
            imagined,
            steps.concepts(),
            b"",
            "statistical",
            StatisticalReasoner.model_id,
            StatisticalReasoner.prompt_version,
        )

    def _step(self, begin: int, place: int, gone: int, catalogue: Sequence[PastItem], ts: int) -> Step:
        at = begin + place
        item, source = catalogue[self.item[at]], int(self.came_from[at])
        relation, concept = RELATION_NAMES[self.relation[at]], self.concepts[self.concept[at]]
        if source == NO_STEP:
            reason = f"Nothing taken before leads to {called(item)}."
        elif relation == AGAIN:
            reason = f"{called(item)} once more."
        else:
            reason = sentence(relation, concept, catalogue[self.item[begin + source]], item)
        return Step(item.item_id, ts, max(source - gone, NO_STEP), relation, concept, reason, float(self.score[at]))

    def _imagined(self, row: int, begin: int, gone: int, catalogue: Sequence[PastItem]) -> Imagined:
        item, place = catalogue[self.imagined[row]], int(self.imagined_step[row])
        reason = sentence(RELATIONS[0], "", catalogue[self.item[begin + int(self.imagined_after[row])]], item)
        score = float(self.imagined_score[row])
        return Imagined(place - gone, called(item), item.item_id, 1.0, RELATIONS[0], reason, score)


def graphs_of_histories(
    histories: Histories,
    catalogue: CodedCatalogue,
    neighbours: CountedNeighbours,
    *,
    settings: ReasoningSettings | None = None,
    imagine: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
) -> BulkGraphs:
    """Steps of every event, and imagined items after each event of ``imagine`` ``[E]`` (None: after each).

    ``neighbours`` says what is near what for each user, counted over the others; see :mod:`.counted`.
    """
    settings = settings or ReasoningSettings()
    events, most = len(histories.items), min(settings.most_imagined, settings.chains * settings.ideas)
    wanted = np.ones(events, np.bool_) if imagine is None else np.ascontiguousarray(imagine, np.bool_)
    if settings.chains == 0:
        wanted = np.zeros(events, np.bool_)
    made = Made(
        np.full(events, NO_STEP, np.int32),
        np.zeros(events, np.int8),
        np.zeros(events, np.int32),
        np.zeros(events, np.float32),
        np.zeros(events, np.int8),
        np.zeros((events, most), np.int32),
        np.zeros((events, most), np.int32),
        np.zeros((events, most), np.int32),
        np.zeros((events, most), np.float32),
        np.zeros(events, np.int64),
    )
    n_items = len(catalogue.ids)
    longest = neighbours.most * MOST_CHAIN + settings.most_steps + 1
    room = Scratch(
        np.zeros(n_items),
        np.zeros(n_items, np.int64),
        np.zeros(1, np.int64),
        np.zeros(longest, np.int32),
        np.zeros(longest),
    )
    bounds = Bounds(
        float(settings.threshold),
        settings.verify,
        settings.most_steps,
        settings.proposals,
        settings.chains,
        settings.ideas,
        most,
        settings.repeats,
    )
    for user in range(histories.users):
        reason_about(user, catalogue.arrays, neighbours.arrays, bounds, neighbours.most, wanted, made, room)
        if progress is not None and (user + 1) % USERS_AT_ONCE == 0:
            progress(user + 1, histories.users)
    borders = np.zeros(events + 1, np.int64)
    np.cumsum(made.imagined_count, out=borders[1:])
    kept = np.arange(most) < made.imagined_count[:, None]
    return BulkGraphs(
        histories.borders,
        histories.items,
        made.came_from,
        made.kind,
        made.concept,
        made.score,
        made.dropped,
        borders,
        made.imagined[kept],
        made.imagined_step[kept],
        made.imagined_after[kept],
        made.imagined_score[kept],
        catalogue.concepts,
    )
