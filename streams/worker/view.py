"""What a worker shows of itself: readiness, state, lag, and its pulse for the watchdog."""

from __future__ import annotations

from functools import partial

from streams.worker.artefact_topics import ArtefactTopics
from streams.worker.counters import Counters
from streams.worker.graph_agent import GraphAgent, Lane
from streams.worker.letters import Letters
from streams.worker.profiles import profile_figures
from streams.worker.reasoning import reasoning_figures
from streams.worker.tables import CompactTopics
from streams.worker.watchdog import Pulse


class WorkerView:
    """The worker as others see it; the worker itself keeps the three fields below up to date."""

    def __init__(
        self,
        broker: str,
        graph: GraphAgent,
        tables: CompactTopics,
        artefacts: ArtefactTopics,
        letters: Letters,
        counters: Counters,
    ) -> None:
        self.assigned = False
        """Whether the group has assigned partitions at least once."""
        self.log_ends: dict[int, int] = {}
        """The next offset of each hosted partition, as asked for lately; empty where the broker did not answer."""
        self.beats = 0
        """Turns of the event loop's heartbeat."""
        self._broker = broker
        self._graph = graph
        self._tables = tables
        self._artefacts = artefacts
        self._letters = letters
        self._counters = counters

    def not_ready(self) -> str | None:
        """Why lists cannot be had yet, None when they can."""
        if not self._tables.ready:
            return "the compact topics `items` and `users` are being read"
        if not self.assigned:
            return "waiting for the consumer group to assign partitions"
        behind = [str(lane.hosted.partition) for lane in self._lanes() if not lane.catch_up.done]
        return f"catching up on partition {', '.join(behind)}" if behind else None

    async def state(self, *, digest: bool) -> dict[str, object]:
        """Everything worth watching, JSON-able; `digest` adds each shard's digest, which takes a moment."""
        shards = [
            {
                **await lane.hosted.run(lambda shard: shard.describe(with_digest=digest)),
                "lag": self._lag(lane),
                "delivered": len(lane.intake),
                "held": len(lane.held),
                "lists_waiting": len(lane.lists),
                "lists_shed": lane.lists.shed,
                "lists_failed": lane.lists.failed,
                "caught_up": lane.catch_up.done,
                "profiles": await lane.hosted.run(partial(profile_figures, users=list(lane.lists.lately))),
                "reasoning": await lane.hosted.run(reasoning_figures),
                "prequential": lane.metrics.figures(),
                "targets": lane.metrics.targets(),
            }
            for lane in self._lanes()
        ]
        return {**self.plain(), "shards": shards}

    def plain(self) -> dict[str, object]:
        """What needs no shard's thread, so that the watchdog can ask while a step hangs."""
        lanes = self._lanes()
        return {
            "ready": self.not_ready() is None,
            "not_ready": self.not_ready(),
            "broker": self._broker,
            "lag": sum(self._lag(lane) for lane in lanes),
            "applied": {str(lane.hosted.partition): lane.hosted.shard.applied_offset for lane in lanes},
            "log_ends": {str(partition): end for partition, end in self.log_ends.items()},
            "counters": self._counters.describe(),
            "dead_letters": dict(self._letters.by_code),
            "forwarded": self._letters.forwarded,
            "catalogue": self._tables.items,
            "artefacts": dict(self._artefacts.taken),
        }

    def pulse(self) -> Pulse:
        """For the watchdog."""
        lanes = self._lanes()
        applied = sum(lane.hosted.shard.applied_offset for lane in lanes) + self._counters.skipped
        return Pulse(self.beats, applied, sum(self._lag(lane) for lane in lanes))

    def _lag(self, lane: Lane) -> int:
        """Events that could be applied now: the rest of an incomplete fixed batch is not waiting for us."""
        shard = lane.hosted.shard
        end = self.log_ends.get(lane.hosted.partition, 0)
        border = shard.next_border(shard.applied_offset + 1)
        if border is not None and border >= end:
            return 0
        return max(end - shard.applied_offset - 1, 0)

    def _lanes(self) -> list[Lane]:
        return list(self._graph.lanes.values())
