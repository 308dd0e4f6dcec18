"""A refresh policy over a real graph, history, profile store and text vectors; only the ranks are made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from unit.models.source_rig import SourceRig

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction
from dyngraph.graph import DynamicGraph
from dyngraph.profiles import UserProfile
from dyngraph.refreshing import Wanted
from llm_workers.refresh import RefreshConfig, RefreshPolicy
from models.sources.history import HistorySource

WIDTH = 4
VECTORS = np.ones((4, WIDTH), "<f2").tobytes()


class RefreshRig(SourceRig):
    """Steps the graph and then asks the policy, as a shard does."""

    def __init__(self, config: RefreshConfig | None = None, width: int = WIDTH) -> None:
        self.history = HistorySource()
        super().__init__(self.history)
        self.graph = DynamicGraph(2, 10, profile_dim=width, text_dim=width)
        self.policy = self.another(config or RefreshConfig())

    def another(self, config: RefreshConfig) -> RefreshPolicy:
        """An empty policy over the same history."""
        return RefreshPolicy(config, self.history)

    def taken(self, events: Sequence[tuple[int, Interaction]], rank: float = 1.0) -> StepResult:
        """Let the graph take a step, in which every item stood at ``rank``."""
        self.step(events)
        ordered = sorted(events, key=lambda event: (event[1].ts, event[0]))
        users = [one.user_id for _, one in ordered]
        ranks = {"evergraph": np.full(len(users), rank)}
        return StepResult(len(users), self.graph.horizon, sorted(set(users)), users, ranks)

    def asked(self, policy: RefreshPolicy, step: StepResult) -> list[Wanted]:
        """What ``policy`` says to a step."""
        return policy.after_step(cast(Engine, self), step, self.graph.horizon.seq)

    def wanted(self, events: Sequence[tuple[int, Interaction]], rank: float = 1.0) -> list[Wanted]:
        """Both at once."""
        return self.asked(self.policy, self.taken(events, rank))

    def answer(self, wanted: Wanted, segment: str = "buyers") -> bool:
        """The profile that was asked for comes; false where a newer one is there already."""
        facets = ((segment,) if segment else (), ("reading",), (), ())
        profile = UserProfile(wanted.user_id, wanted.ts, wanted.offset, wanted.events, facets, VECTORS, "statistical")
        return self.graph.profiles.put(profile)
