"""Items that go on from the user's chains of reasons: LLMRG as a source of candidates and features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Feature, Queries, Signal, Update
from dyngraph.reasoning import NO_STEP, ReasoningGraph
from dyngraph.reasoning_store import BEST_SCORE
from dyngraph.state import State
from models.llmrg.capture import Asked
from models.llmrg.online import OnlineChains
from models.sources.likelihood import described_among, likelihood_features

SHOWN = 3
"""Items of a chain that a reason names, the latest."""


class ChainSource:
    """See :mod:`models.llmrg`. Proposes what was imagined behind the user's chains; describes candidates by their
    likelihood under the fused vector, and by the verification score of those that were imagined. Users without a graph
    have zeros.
    """

    name = "chains"
    features = (*likelihood_features("chains"), Feature("imagined", Signal.RAISES))

    def __init__(self, model: OnlineChains) -> None:
        self.model = model

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self.model.grow(users, items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self.model.truncate(users, items)

    # -- reading ----------------------------------------------------------------------------------------------

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The imagined items, the most credible first."""
        return self.model.imagined(queries.users, queries.ts)[0][:, : self.model.config.propose]

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Three columns of likelihood (:func:`models.sources.likelihood.described_among`), and the score in [0, 1]."""
        model = self.model
        fused = model.users(queries.users, queries.ts, queries.vectors)
        there = model.counts(queries.users, queries.ts)
        likelihood = described_among(model.logits(fused, items), items > 0) * there.view(-1, 1, 1)
        rows, scores = model.imagined(queries.users, queries.ts)
        table = torch.zeros(len(queries), graph.sizes()[1]).scatter_reduce_(1, rows, scores, "amax")
        return torch.cat((likelihood, table.gather(1, items).unsqueeze(2)), dim=2)

    # -- the step ---------------------------------------------------------------------------------------------

    def lesson(
        self, graph: DynamicGraph, batch: EventBatch, queries: Queries, query: Tensor, *, learn: bool, seed: int
    ) -> Update:
        """Learn what the batch's events chose."""
        asked = Asked(queries.users, queries.ts, queries.vectors)
        return self.model.plan(graph, batch, asked, query, learn=learn, seed=seed)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Take in new texts, and the graphs that have come since the last step."""
        self.model.follow(graph, batch.items)

    # -- reasons ----------------------------------------------------------------------------------------------

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Tell the chain behind which the item was imagined, or that it stands in; else the item of a chain that it is
        most like: its score came from the vectors then, and no chain leads to it.
        """
        told = []
        for cause in causes:
            user, ts = int(queries.users[cause.query]), int(queries.ts[cause.query])
            made = self._encoded(graph, user, ts)
            told.append(self._told(graph, made, cause.item) if made is not None and made.steps else "")
        return told

    def _encoded(self, graph: DynamicGraph, user: int, ts: int) -> ReasoningGraph | None:
        """The graph that the features come from: another may have come since the last step."""
        horizon = self.model.horizon(user)
        made = graph.reasoning.newest(user, horizon + 1) if 0 <= horizon < ts else None
        return made if made is not None and made.ts == horizon else None

    def _told(self, graph: DynamicGraph, made: ReasoningGraph, item: int) -> str:
        item_id = graph.item_ids[item]
        for one in made.imagined:
            if one.item_id == item_id:
                chain = " → ".join([*self._chain(graph, made, one.step), graph.catalogue.title(item_id)])
                return f"chain {chain}, verified {one.score / BEST_SCORE:.2f}"
        ids = [step.item_id for step in made.steps]
        if item_id in ids:
            step = len(ids) - 1 - ids[::-1].index(item_id)
            return f"stands in your chain {' → '.join(self._chain(graph, made, step))}{_about(made, step)}"
        rows = graph.item_ids.find(ids)
        near = self.model.item_vectors(rows) @ self.model.item_vectors(torch.tensor([item]))[0]
        step = int(near.masked_fill(rows == 0, -torch.inf).argmax())
        path = self._chain(graph, made, step)
        where = f"of your chain {' → '.join(path)}" if len(path) > 1 else "of your chains"
        return f"is like {path[-1]} {where}{_about(made, step)}"

    def _chain(self, graph: DynamicGraph, made: ReasoningGraph, step: int) -> list[str]:
        """Titles of the latest items of a chain, oldest first."""
        path: list[str] = []
        while step != NO_STEP and len(path) < SHOWN:
            title = graph.catalogue.title(made.steps[step].item_id)
            if path[-1:] != [title]:  # what was taken once more is one place of the chain
                path.append(title)
            step = made.steps[step].came_from
        return path[::-1]

    def forget_user(self, user: int) -> None:
        """Drop what is kept of the user."""
        self.model.forget_user(user)

    def state(self) -> State:
        """All of the model."""
        return self.model.state()

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self.model.load_state(state)


def _about(made: ReasoningGraph, step: int) -> str:
    concept = made.steps[step].concept
    return f" ({concept})" if concept else ""
