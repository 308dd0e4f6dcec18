"""What a refresh policy asks for on a walk, held back until log time has moved on.

A delay in log time stands for an LLM that is slow, or for jobs that are answered in batches.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np

from dyngraph.engine import Engine, StepResult
from dyngraph.refreshing import Refresh, Wanted

WHOLE = "evergraph"
"""As the engine calls its own ranks."""


class DueJobs:
    """Jobs of ``policy``, each due ``delay_ms`` of log time after its horizon.

    The policy is not told how well anybody was ranked, so that jobs follow from the log alone, and answers recorded
    once fit every model.
    """

    def __init__(self, policy: Refresh, delay_ms: int = 0) -> None:
        self.asked = 0
        """Jobs so far, due or not."""
        self._policy, self._delay_ms = policy, delay_ms
        self._waiting: list[tuple[int, int, Wanted]] = []

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> list[Wanted]:
        """Ask for what is worth renewing after a step; the jobs that are due by now, the earliest first."""
        unranked = replace(step, ranks={WHOLE: np.full(len(step.event_users), np.nan)})
        for wanted in self._policy.after_step(engine, unranked, offset):
            heapq.heappush(self._waiting, (wanted.ts + self._delay_ms, self.asked, wanted))
            self.asked += 1
        due = []
        while self._waiting and self._waiting[0][0] <= engine.graph.horizon.ts:
            due.append(heapq.heappop(self._waiting)[2])
        return due
