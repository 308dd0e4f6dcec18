"""The topics, in one table: name, key, message type, how long records live, and what the broker must allow.

Worker, command line, schemas and documentation all read this table, so a topic exists in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from streams import artefact_messages as a
from streams import messages as m

DEFAULT_PREFIX = "evergraph."
MIB = 1024 * 1024
DEFAULT_SHARERS = 4

# A bad record is copied whole, in base64, into a dead letter: 8 MiB in need 16 MiB out (8 * 4/3, and room for
# the rest).
INTERACTION_MAX_BYTES = 8 * MIB
DEAD_LETTER_MAX_BYTES = 16 * MIB

Cleanup = Literal["delete", "compact", "compact,delete"]

_DAY_MS = 24 * 3600 * 1000


class UnknownTopic(ValueError):
    """Raised for a topic name that is not in the table."""


@dataclass(frozen=True)
class TopicSpec:
    """One topic. `sharded` topics are cut by user and all have the partition count of `interactions`.

    A `shared` topic is cut so that many workers can share its records. Nobody owns a part of it, so it may have any
    number of partitions.
    """

    name: str
    key: str
    message: type[m.Message]
    cleanup: Cleanup
    about: str
    sharded: bool = False
    shared: bool = False
    internal: bool = False
    max_message_bytes: int = MIB
    configs: Mapping[str, str] = field(default_factory=dict)

    def full_name(self, prefix: str = DEFAULT_PREFIX) -> str:
        """The name in Kafka."""
        return f"{prefix}{self.name}"

    def partitions(self, shards: int, sharers: int = DEFAULT_SHARERS) -> int:
        """How many partitions the topic has where `interactions` has `shards` and `sharers` may share jobs."""
        if self.shared:
            return sharers
        return shards if self.sharded else 1

    def kafka_configs(self) -> dict[str, str]:
        """The topic configuration to create it with."""
        return {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            **self.configs,
        }


# The broker's clock stamps what users do: lateness and `in_future` are judged against it, not against a
# producer's clock.
_STAMPED = {"message.timestamp.type": "LogAppendTime"}
_MONTH = {"retention.ms": str(30 * _DAY_MS)}
_WEEK = {"retention.ms": str(7 * _DAY_MS)}
# Lists and memories of users long gone are not worth keeping: compacted, and dropped after a quarter of a
# year.
_QUARTER = {"retention.ms": str(90 * _DAY_MS)}

TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(
        "interactions",
        "user_id",
        m.InteractionMessage,
        "delete",
        "what users did, the truth that all state follows from",
        sharded=True,
        max_message_bytes=INTERACTION_MAX_BYTES,
        configs=_STAMPED | _MONTH,
    ),
    TopicSpec("items", "item_id", m.ItemMessage, "compact", "the catalogue"),
    TopicSpec("users", "user_id", m.UserMessage, "compact", "user attributes and merges; a null value erases"),
    TopicSpec(
        "recommendation-requests",
        "user_id",
        m.RecommendationRequest,
        "delete",
        "ask for a list now",
        sharded=True,
        configs=_STAMPED | _WEEK,
    ),
    TopicSpec(
        "recommendations",
        "user_id",
        m.RecommendationMessage,
        "compact,delete",
        "fresh lists with reasons",
        sharded=True,
        configs=_QUARTER,
    ),
    TopicSpec("llm-jobs", "entity_id", a.LlmJob, "delete", "artefacts worth refreshing", shared=True, configs=_WEEK),
    TopicSpec("profiles", "entity_id", a.Profile, "compact", "profile facets of users"),
    TopicSpec("item-vectors", "item_id", a.ItemVector, "compact", "vectors of item texts"),
    TopicSpec("reasoning-graphs", "entity_id", a.ReasoningGraph, "compact", "reasoning chains of users"),
    TopicSpec("relations", "entity_id", a.Relations, "compact", "latent relations between items"),
    TopicSpec("indices", "entity_id", a.SemanticIndex, "compact", "semantic indices of users and items"),
    TopicSpec(
        "item-messages",
        "item_id",
        m.ItemSideMessage,
        "compact,delete",
        "an event's item half, for the item's owner",
        internal=True,
        configs=_WEEK,
    ),
    TopicSpec(
        "item-memory",
        "item_id",
        m.ItemMemory,
        "compact,delete",
        "new item memories, for all shards",
        internal=True,
        configs=_QUARTER,
    ),
    TopicSpec(
        "weights",
        "name",
        m.Weights,
        "compact,delete",
        "which weights a trainer has handed over",
        internal=True,
        max_message_bytes=DEAD_LETTER_MAX_BYTES,
        configs=_QUARTER,
    ),
    TopicSpec(
        "dead-letters",
        "as the source",
        m.DeadLetter,
        "delete",
        "records that could not be used, with the reason",
        max_message_bytes=DEAD_LETTER_MAX_BYTES,
        configs=_MONTH,
    ),
    TopicSpec("metrics", "series", m.MetricPoint, "delete", "prequential figures per window", configs=_WEEK),
)

_BY_NAME = {spec.name: spec for spec in TOPICS}


def topic(name: str) -> TopicSpec:
    """The topic called `name` (without prefix). Raises `UnknownTopic`."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownTopic(f"topic {name!r} is unknown; the topics are: {', '.join(_BY_NAME)}") from None
