"""Items that fit the user's profile facets and present state: DynLLM as a source of candidates and features."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.profiles import FACETS, UserProfile
from dyngraph.protocols import Cause, Queries, Update
from dyngraph.state import State
from models.dynllm import DynLLM
from models.dynllm.capture import Asked
from models.sources.likelihood import described, likelihood_features, nearest
from models.waiting import pick

_SAYINGS = dict(zip(FACETS, ("belongs with {}", "is interested in {}", "prefers {}", "favours brand {}"), strict=True))


class ProfileSource:
    """See :mod:`models.dynllm`. ``propose`` is how many of the likeliest items become candidates."""

    features = likelihood_features("profiles")

    def __init__(self, model: DynLLM, propose: int = 60, name: str = "profiles") -> None:
        self.model, self.name = model, name
        self._propose = propose

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self.model.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self.model.truncate(items)

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The likeliest items of the whole catalogue."""
        return nearest(self.logits(graph, queries), self._propose)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """See :func:`models.sources.likelihood.described`."""
        return described(self.logits(graph, queries), items)

    def logits(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """``[U, items]``"""
        memo: Tensor | None = queries.memo.get(self.name)
        if memo is None:
            memo = queries.memo[self.name] = self.model.logits(graph, self._asked(graph, queries))
        return memo

    def _asked(self, graph: DynamicGraph, queries: Queries) -> Asked:
        # Models that read the same profiles ask alike.
        key = f"asked of {id(self.model.profiles)}"
        asked: Asked | None = queries.memo.get(key)
        if asked is None:
            asked = queries.memo[key] = self.model.asked(graph, queries)
        return asked

    def lesson(
        self, graph: DynamicGraph, batch: EventBatch, queries: Queries, query: Tensor, *, learn: bool, seed: int
    ) -> Update:
        """Learn what the batch's events chose."""
        return self.model.plan(graph, batch, self._asked(graph, queries), query, learn=learn, seed=seed)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Renew what is kept of touched items."""
        self.model.follow(batch.items)

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Name the facet without which the item's score would fall most, with its phrase and what it was read from."""
        places = torch.tensor([cause.query for cause in causes])
        items = torch.tensor([cause.item for cause in causes])
        drops = self.model.drops(graph, pick(self._asked(graph, queries), places), items)
        told: list[str] = []
        for cause, drop in zip(causes, drops.tolist(), strict=True):
            profile = self.model.profiles.newest(int(queries.users[cause.query]), int(queries.ts[cause.query]))
            facet = max(range(len(FACETS)), key=drop.__getitem__)
            if profile is None or drop[facet] <= 0 or not profile.facets[facet]:
                told.append("fits by its text and your latest steps")
            else:
                item = graph.catalogue.get(graph.item_ids[cause.item])
                told.append(_saying(profile, facet, item))
        return told

    def forget_user(self, user: int) -> None:
        """Drop the user's examples; profiles are the graph's."""
        self.model.forget_user(user)

    def state(self) -> State:
        """All of the model."""
        return self.model.state()

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self.model.load_state(state)


def _saying(profile: UserProfile, facet: int, item: Item | None) -> str:
    phrase = _telling(profile.facets[facet], item)
    day = datetime.fromtimestamp(profile.ts / 1000, UTC)
    events = f"{profile.events} event{'s' if profile.events != 1 else ''}"
    return f"facet: {_SAYINGS[FACETS[facet]].format(phrase)}, from {events} up to {day.day} {day:%B %Y}"


def _telling(phrases: Sequence[str], item: Item | None) -> str:
    """The phrase that the item's own words hold, else the first."""
    if item is not None:
        words = " ".join((item.title, item.brand or "", *item.categories)).casefold()
        for phrase in phrases:
            if phrase.casefold() in words:
                return phrase
    return phrases[0]
