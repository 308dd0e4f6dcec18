"""Topics are created on purpose, with known partition counts, and are checked before anyone relies on them.

A worker that finds another partition count than it was told would send users to shards that do not own them;
a topic that was deleted and created again is another log. Both are cheap to see here and hard to see later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAlreadyExistsError

from streams.broker import BrokerError
from streams.topics import DEFAULT_PREFIX, DEFAULT_SHARERS, TOPICS, TopicSpec

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
USABLE_WITHIN_S = 30.0


class BrokerUnreachable(BrokerError):
    """Raised when nothing that speaks Kafka answers at the address in time."""


class TopicMismatch(ValueError):
    """Raised when an existing topic cannot serve as wanted; the text holds the fix."""


@dataclass(frozen=True)
class TopicState:
    """One topic as the broker has it: no partitions if it does not exist, no id where it gives none."""

    spec: TopicSpec
    name: str
    partitions: int
    topic_id: str | None
    usable: bool

    @property
    def exists(self) -> bool:
        """Whether the broker has it."""
        return self.partitions > 0


@contextmanager
def admin(broker: str, timeout_s: float = CONNECT_WITHIN_S) -> Iterator[KafkaAdminClient]:
    """An admin client, closed at the end. Raises `BrokerUnreachable`."""
    try:
        client = KafkaAdminClient(
            bootstrap_servers=broker.split(","),
            client_id="evergraph-admin",
            bootstrap_timeout_ms=int(timeout_s * 1000),
        )
    except (KafkaError, OSError, ValueError) as error:
        raise unreachable(broker, error) from None
    try:
        yield client
    except (KafkaConnectionError, KafkaTimeoutError) as error:
        raise unreachable(broker, error) from None
    finally:
        client.close()


def unreachable(broker: str, error: Exception) -> BrokerUnreachable:
    """The error for an address where no broker answers."""
    return BrokerUnreachable(
        f"no Kafka broker answers at {broker} ({type(error).__name__}): check --broker host:port, "
        "or start one with `evergraph up` or `docker compose up`"
    )


def list_topics(broker: str, prefix: str = DEFAULT_PREFIX, *, timeout_s: float = CONNECT_WITHIN_S) -> list[TopicState]:
    """All our topics, in the table's order, also those that do not exist yet."""
    with admin(broker, timeout_s) as client:
        return _states(client, prefix, TOPICS)


def topic_ids(broker: str, prefix: str = DEFAULT_PREFIX) -> dict[str, str]:
    """The ids the broker gave our topics, by table name: another id is another log."""
    return {state.spec.name: state.topic_id for state in list_topics(broker, prefix) if state.topic_id}


def create_topics(
    broker: str,
    prefix: str = DEFAULT_PREFIX,
    partitions: int = 1,
    *,
    llm_partitions: int = DEFAULT_SHARERS,
    specs: Sequence[TopicSpec] = TOPICS,
    replication: int = -1,
    timeout_s: float = USABLE_WITHIN_S,
) -> list[str]:
    """Create what is missing, check what is there, wait until all are usable; the names created are returned.

    `partitions` is the number of shards, `llm_partitions` that of `llm-jobs` where it is created now; `replication` -1
    is the broker's default. Safe to repeat and to run twice at once. Raises `TopicMismatch` before anything is created,
    `BrokerUnreachable`, `BrokerError`.
    """
    deadline = time.monotonic() + timeout_s
    with admin(broker, min(timeout_s, CONNECT_WITHIN_S)) as client:
        states = _states(client, prefix, specs)
        _check(states, partitions)
        missing = [state for state in states if not state.exists]
        counts = {state.name: state.spec.partitions(partitions, llm_partitions) for state in missing}
        created = [state.name for state in missing if _create(client, state, counts[state.name], replication)]
        _wait(client, prefix, specs, partitions, deadline)
    return created


def check_topics(broker: str, prefix: str = DEFAULT_PREFIX, partitions: int = 1) -> list[TopicState]:
    """What a worker asks at start: all topics, the right partition counts. Raises `TopicMismatch`."""
    states = list_topics(broker, prefix)
    missing = [state.name for state in states if not state.exists]
    if missing:
        raise TopicMismatch(
            f"topic {missing[0]} (and {len(missing) - 1} more) is not on {broker}: run "
            f"`evergraph topics create --broker {broker} --prefix {prefix} --partitions {partitions}`"
        )
    _check(states, partitions)
    return states


def _states(client: KafkaAdminClient, prefix: str, specs: Sequence[TopicSpec]) -> list[TopicState]:
    there = set(client.list_topics())  # never ask for an unknown name: a broker may create it on being asked
    wanted = [spec.full_name(prefix) for spec in specs]
    known = [name for name in wanted if name in there]
    found = {entry["name"]: entry for entry in client.describe_topics(known)} if known else {}
    states = []
    for spec, name in zip(specs, wanted, strict=True):
        entry = found.get(name, {})
        partitions = [] if entry.get("error_code") else entry.get("partitions", [])
        led = all(p["leader_id"] >= 0 and not p["error_code"] for p in partitions)
        topic_id = entry.get("topic_id")
        states.append(
            TopicState(spec, name, len(partitions), str(topic_id) if topic_id else None, bool(partitions) and led)
        )
    return states


def _check(states: Sequence[TopicState], partitions: int) -> None:
    for state in states:
        wanted = state.spec.partitions(partitions)
        if state.exists and state.partitions != wanted and not state.spec.shared:
            raise TopicMismatch(_mismatch(state, wanted))


def _mismatch(state: TopicState, wanted: int) -> str:
    if state.spec.sharded:
        fix = (
            f"run with --partitions {state.partitions}, or choose another --prefix and replay into it "
            "(adding partitions would send users to shards that do not know them)"
        )
    else:
        fix = f"delete {state.name} and run `evergraph topics create` again, or choose another --prefix"
    return f"topic {state.name} has {state.partitions} partition(s), {wanted} wanted: {fix}"


def _create(client: KafkaAdminClient, state: TopicState, partitions: int, replication: int) -> bool:
    new = NewTopic(
        state.name,
        num_partitions=partitions,
        replication_factor=replication,
        topic_configs=state.spec.kafka_configs(),
    )
    try:
        client.create_topics([new])
    except TopicAlreadyExistsError:
        return False  # someone else was quicker; the wait below checks what they made
    except KafkaError as error:
        raise BrokerError(f"topic {state.name} cannot be created: {error}") from None
    return True


def _wait(client: KafkaAdminClient, prefix: str, specs: Sequence[TopicSpec], partitions: int, deadline: float) -> None:
    while True:
        states = _states(client, prefix, specs)
        _check(states, partitions)
        waiting = [state.name for state in states if not state.usable]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise BrokerError(f"topic {waiting[0]} has no leader yet: look at the broker's log, then try again")
        time.sleep(0.05)
