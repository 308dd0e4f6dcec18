"""The refresh policy: after each step, whose profile (or reasoning graph) is worth renewing, and from which past.

Everything is decided from the steps and side inputs of a shard, in event time and counts of events, so that a
recovered shard asks for the same jobs in the same order. Per touched user there is a little arithmetic on columns; only
those whose turn has come cost more. A user has one job of a kind at a time: until its answer has come, or it is given
up.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.engine import Engine, StepResult
from dyngraph.graph import DynamicGraph
from dyngraph.profiles import FACETS, ProfileStore
from dyngraph.reasoning_store import ReasoningStore
from dyngraph.refreshing import Kind, Related, Wanted
from dyngraph.state import State, gather, scatter
from llm_workers.refresh import triggers
from llm_workers.refresh.budget import Budget
from llm_workers.refresh.config import RefreshConfig
from llm_workers.refresh.past import AllPartners, History, Partners, distances, sample, telling, times
from llm_workers.refresh.people import SOURCES, People
from llm_workers.refresh.segments import Segments
from llm_workers.refresh.triggers import Standing

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

_MINUTE_MS = 60_000


class RefreshPolicy:
    """Implements :class:`dyngraph.refreshing.Refresh` over the profiles, texts and counts of the engine's graph.

    A user is asked for when the profile is outdated by one of the triggers of :mod:`llm_workers.refresh.triggers`. What
    the budget does not allow yet waits, the most urgent first.
    """

    def __init__(
        self, config: RefreshConfig, history: History, kind: Kind = "profile", partners: Partners | None = None
    ) -> None:
        """Of artefacts of one ``kind``; with ``partners`` a job carries those of the newest items."""
        self.config, self.kind = config, kind
        self.asked = self.given_up = 0
        """Jobs asked for since the start, and how many of them instead of one that was given up."""
        self._history, self._partners = history, partners
        self._seen = 0
        self._people = People()
        self._budget = Budget(config.jobs_per_1000, config.burst, config.most_waiting)
        self._segments = Segments(config.segments, config.drift_delta)

    def figures(self) -> dict[str, int]:
        """Counters since the start, and how many users wait for the budget."""
        return {
            "asked": self.asked,
            "given_up": self.given_up,
            "waiting": len(self._budget),
            "dropped": self._budget.dropped,
            "segment_drifts": self._segments.drifts,
        }

    def awaits(self, user: int) -> Literal["budget", "answer", "nothing"]:
        """What one user row without an artefact waits for: that the budget allows a job, or the answer to one."""
        if user in self._budget:
            return "budget"
        known = user < len(self._people.asked)
        return "answer" if known and self._people.asked[user] >= 0 else "nothing"

    # -- the step ---------------------------------------------------------------------------------------------

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> list[Wanted]:
        """Take in what a step did (``offset``: the last one applied); the jobs to publish, the most urgent first."""
        if not step.events:
            return []
        graph = engine.graph
        self._seen += step.events
        self._people.grow(len(graph.user_ids))
        self._budget.grow(len(graph.user_ids))
        self._budget.earn(step.events)
        rows = graph.user_ids.find(step.event_users).numpy()
        self._count_hits(rows, step)
        users, events = np.unique(rows, return_counts=True)
        standing = self._standing(graph, users)
        free = ~self._awaited(users, standing)
        urgency = self._urgencies(graph, users, standing, free & self._due(standing, events)).max(0)
        waits = free & (urgency >= 1)
        if waits.any():
            self._budget.put(users[waits], triggers.priorities(urgency, standing)[waits])
        return self._turns(graph, offset)

    def _count_hits(self, rows: Ints, step: StepResult) -> None:
        """Tell the segments how well the events of user ``rows [E]`` were ranked."""
        ranks = step.ranks["evergraph"]
        target = ~np.isnan(ranks)
        hits = ranks[target] <= self.config.hit_rank
        self._segments.take(self._people.segment[rows[target]], hits, step.horizon.ts)

    def _standing(self, graph: DynamicGraph, users: Ints) -> Standing:
        """How ``users [n]`` stand, distances left out; those whose profile has come, or gone, change segments."""
        newest = self._kept(graph).horizons(users)
        segment, known = self._people.segment, self._people.known
        for user in users[newest.ts != known[users]].tolist():
            profile = graph.profiles.newest(user)
            phrases = profile.facets[FACETS.index("segment")] if profile else ()
            segment[user] = self._segments.move(int(segment[user]), phrases[0] if phrases else "")
        known[users] = newest.ts
        stale = newest.ts < self._segments.fallen[segment[users]]
        rows = torch.from_numpy(users)
        events, ts = (column[rows].cpu().numpy() for column in (graph.users.events, graph.users.last_ts))
        return Standing(events, ts, newest.events, newest.ts, stale, np.zeros(len(users)))

    def _due(self, standing: Standing, events: Ints) -> Flags:
        """``[n]`` whose items are looked at: at every ``drift_items``-th new event; ``events [n]`` came just now."""
        every = self.config.drift_items
        return standing.new // every > (standing.new - events) // every

    def _urgencies(self, graph: DynamicGraph, users: Ints, standing: Standing, due: Flags) -> Floats:
        """``[3, n]``, as :mod:`triggers` has it; texts are compared where that is ``due [n]`` and nothing else asks."""
        urgency = triggers.urgencies(self.config, standing)
        looked = due & (standing.known >= 0) & (urgency.max(0) < 1)
        if not graph.texts.width or not looked.any():
            return urgency
        latest = self._history.recent(torch.from_numpy(users[looked]), self.config.drift_items).numpy()
        standing.distance[looked] = distances(graph.texts.rows, self._people.sources[users[looked]], latest)
        return triggers.urgencies(self.config, standing)

    def _awaited(self, users: Ints, standing: Standing) -> Flags:
        """``[n]`` whether a job of ``users [n]`` is out, and neither answered nor given up."""
        asked = self._people.asked[users]
        patient = self._seen - self._people.asked_at[users] < self.config.patience
        patient |= standing.ts - asked < self.config.patience_minutes * _MINUTE_MS
        return (standing.known < asked) & patient

    # -- jobs -------------------------------------------------------------------------------------------------

    def _turns(self, graph: DynamicGraph, offset: int) -> list[Wanted]:
        """The jobs of those whose turn it is, where there still is a reason."""
        users = self._budget.take()
        if not len(users):
            return []
        standing = self._standing(graph, users)
        urgency = self._urgencies(graph, users, standing, np.ones(len(users), np.bool_))
        priority = triggers.priorities(urgency.max(0), standing)
        wanted = []
        for place in np.flatnonzero(urgency.max(0) >= 1).tolist():
            user, ts = int(users[place]), int(standing.ts[place])
            past = self._past(graph, user, ts)
            if not past:
                # One who only ever refused: looked at again when a job would have been given up.
                continue
            why = triggers.in_words(int(urgency[:, place].argmax()), standing, place)
            events = int(standing.events[place])
            one = Wanted(graph.user_ids[user], ts, offset, events, past, float(priority[place]), why, self.kind)
            wanted.append(self._with_reasons(graph, user, one))
        self._budget.pay(len(wanted))
        self.asked += len(wanted)
        return wanted

    def _past(self, graph: DynamicGraph, user: int, ts: int) -> tuple[tuple[str, int, float], ...]:
        """What the job of ``user`` up to ``ts`` (ms) carries; noted as out."""
        people = self._people
        own = telling(self._history.own_items(user, ts), self.config.newest, self.config.heaviest)
        self.given_up += bool(people.known[user] < people.asked[user])
        people.asked[user], people.asked_at[user] = ts, self._seen
        people.sources[user] = sample(own.items, SOURCES)
        names = (graph.item_ids[row] for row in own.items.tolist())
        return tuple(zip(names, own.last_ts.tolist(), own.weight.round(4).tolist(), strict=True))

    def _with_reasons(self, graph: DynamicGraph, user: int, wanted: Wanted) -> Wanted:
        """With what reasoning needs besides the past."""
        if self.kind != "reasoning":
            return wanted
        related: list[Related] = []
        if self._partners is not None:
            items = [item_id for item_id, _, _ in wanted.past[-self.config.related_items :]]
            rows = graph.item_ids.find(items).tolist()
            own = times(self._history.own_items(user, wanted.ts))
            for item_id, found in zip(items, self._partners.partners(rows, self.config.related, own), strict=True):
                related += [
                    Related(item_id, graph.item_ids[row], relation, round(strength, 5))
                    for row, relation, strength in found
                ]
        previous = graph.reasoning.newest(user)
        return msgspec.structs.replace(wanted, related=tuple(related), previous=previous)

    def _kept(self, graph: DynamicGraph) -> ProfileStore | ReasoningStore:
        return graph.profiles if self.kind == "profile" else graph.reasoning

    # -- state ------------------------------------------------------------------------------------------------

    def forget_user(self, user: int) -> None:
        """Drop what is kept of one user row."""
        if user < len(self._people.known):
            self._segments.leave(int(self._people.segment[user]))
            self._people.forget(user)
            self._budget.forget(user)

    def state(self) -> State:
        """All that decides; counters that only inform start anew."""
        return {"seen": torch.tensor([self._seen])} | gather(self._parts())

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._seen = int(state["seen"])
        scatter(self._parts(), state)

    def _parts(self) -> dict[str, People | Budget | Segments]:
        return {"people": self._people, "budget": self._budget, "segments": self._segments}


def policy_over(config: RefreshConfig, engine: Engine, kind: Kind = "profile") -> RefreshPolicy:
    """A fresh policy over an engine's own history. Raises TypeError for an engine whose habits hold none."""
    if not isinstance(engine.habits, History):
        raise TypeError(f"the policy reads which items a user had; a {type(engine.habits).__name__} does not know them")
    partners = AllPartners([source for source in engine.sources if isinstance(source, Partners)])
    return RefreshPolicy(config, engine.habits, kind, partners)
