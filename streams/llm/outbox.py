"""What an LLM worker publishes: profiles, reasoning graphs, tombstones of them, names, item vectors, dead letters."""

from __future__ import annotations

import logging

import faust

from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph as Graph
from llm_workers.protocols import LlmError, Spent
from streams.artefact_messages import Cost, ItemVector, LlmJob, Relations
from streams.artefacts import profile_message, reasoning_message
from streams.codec import encode
from streams.settings import Settings
from streams.worker.letters import Letters, Origin

log = logging.getLogger(__name__)


class Outbox:
    """Sends, and returns when the broker has it. Raises the client's errors."""

    def __init__(self, app: faust.App, settings: Settings, letters: Letters) -> None:
        self.profiles = 0
        self.graphs = 0
        self.taken_back = 0
        self.item_vectors = 0
        self.named_tables = 0
        self._app = app
        self._letters = letters
        self._profiles = settings.topic("profiles")
        self._graphs = settings.topic("reasoning-graphs")
        self._vectors = settings.topic("item-vectors")
        self._relations = settings.topic("relations")

    async def profile(self, profile: UserProfile, job: LlmJob, vector_model: str, spent: Spent) -> None:
        """Publish the profile that `job` asked for."""
        message = profile_message(profile, job, vector_model=vector_model, cost=_cost(spent))
        await self._send(self._profiles, profile.user_id, encode(message))
        self.profiles += 1

    async def graph(self, graph: Graph, job: LlmJob, vector_model: str, spent: Spent) -> None:
        """Publish the reasoning graph that `job` asked for."""
        message = reasoning_message(graph, job, vector_model=vector_model, cost=_cost(spent))
        await self._send(self._graphs, graph.user_id, encode(message))
        self.graphs += 1

    async def take_back(self, user_id: str) -> None:
        """Publish the tombstones of an erased user's artefacts."""
        await self._send(self._profiles, user_id, None)
        await self._send(self._graphs, user_id, None)
        self.taken_back += 1

    async def dead(self, origin: Origin, code: str, text: str) -> None:
        """A job that can never be done."""
        await self._letters.delivered([await self._letters.dead(origin, code, text)])

    async def item_vector(self, vector: ItemVector) -> None:
        """Publish the vector of an item's text."""
        await self._send(self._vectors, vector.item_id, encode(vector))
        self.item_vectors += 1

    async def relation_names(self, names: Relations) -> None:
        """Publish what the relations of a shard are called."""
        await self._send(self._relations, names.entity_id, encode(names))
        self.named_tables += 1

    async def _send(self, topic: str, key: str, value: bytes | None) -> None:
        await (await self._app.producer.send(topic, key.encode(), value, None, None, None))


def told(error: LlmError) -> str:
    """What a dead letter says of a job that failed for good."""
    return f"it could not be made: {error}. The next events of the user ask for one again"


def _cost(spent: Spent) -> Cost:
    return Cost(
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        seconds=round(spent.seconds, 3),
        usd=spent.usd,
    )
