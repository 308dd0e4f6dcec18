"""Several refresh policies as one: what a shard is handed where more than one kind of artefact is made for it."""

from __future__ import annotations

from collections.abc import Mapping

from dyngraph.engine import Engine, StepResult
from dyngraph.refreshing import Wanted
from dyngraph.state import State, gather, scatter
from llm_workers.refresh.policy import RefreshPolicy


class Policies:
    """Asks each policy after each step, in the order given. Implements :class:`dyngraph.refreshing.Refresh`."""

    def __init__(self, policies: Mapping[str, RefreshPolicy]) -> None:
        self.policies = dict(policies)

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> list[Wanted]:
        """What all of them want."""
        return [one for policy in self.policies.values() for one in policy.after_step(engine, step, offset)]

    def forget_user(self, user: int) -> None:
        """Drop what is kept of one user row."""
        for policy in self.policies.values():
            policy.forget_user(user)

    def figures(self) -> dict[str, dict[str, int]]:
        """Counters of each."""
        return {name: policy.figures() for name, policy in self.policies.items()}

    def state(self) -> State:
        """Of all."""
        return gather(self.policies)

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`; a policy that came after the snapshot starts from nothing."""
        known = {name: one for name, one in self.policies.items() if any(key.startswith(f"{name}.") for key in state)}
        scatter(known, state)
