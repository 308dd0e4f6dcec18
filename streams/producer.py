"""Publishing: a whole log into `interactions` at full speed, or one event, under the same key rule.

The key is `user_id`, the partitioner Kafka's murmur2 (kafka-python's default for keyed records), acknowledged
by all in-sync replicas. Values are encoded beforehand in bulk: the client's own work per record is what
limits the rate.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from dyngraph.event_id import derive_event_id
from dyngraph.events import EventType, Item
from evaluation.readers.log import InteractionLog
from streams.admin import admin, unreachable
from streams.broker import BrokerError
from streams.codec import encode
from streams.messages import InteractionMessage, ItemMessage
from streams.topics import DEAD_LETTER_MAX_BYTES, DEFAULT_PREFIX

DELIVER_WITHIN_S = 30.0
# How many records may wait for their acknowledgement: memory stays bounded when the broker is slower than the
# file.
WINDOW = 20_000
_CHUNK = 1_000

Progress = Callable[[int, int], None]


class PublishError(BrokerError):
    """Raised when the broker did not take a record."""


@dataclass(frozen=True)
class PublishReport:
    """What was published, in how many seconds, from the first send to the last acknowledgement."""

    events: int
    items: int
    seconds: float

    @property
    def events_per_s(self) -> float:
        """Events over seconds."""
        return self.events / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Published:
    """Where a record went; `ts_ms` is its record timestamp."""

    topic: str
    partition: int
    offset: int
    ts_ms: int


class Publisher:
    """A producer with our key rule, as a context manager. Raises `BrokerUnreachable` on entry."""

    def __init__(self, broker: str, prefix: str = DEFAULT_PREFIX, *, linger_ms: int = 0) -> None:
        self._broker = broker
        self._prefix = prefix
        self._names: dict[str, str] = {}
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=broker.split(","),
                client_id="evergraph-publish",
                acks="all",
                linger_ms=linger_ms,
                batch_size=256 * 1024,
                max_request_size=DEAD_LETTER_MAX_BYTES,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=10_000,
                max_block_ms=10_000,
                request_timeout_ms=10_000,
                delivery_timeout_ms=int(DELIVER_WITHIN_S * 1000),
                metrics_enabled=False,
            )
        except (KafkaError, OSError, ValueError) as error:
            raise unreachable(broker, error) from None

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> Any:
        """Queue raw bytes for a topic (table name), good or bad; a future is returned."""
        name = self._names.get(topic) or self._known(topic)
        try:
            return self._producer.send(name, value=value, key=key, partition=partition)
        except KafkaError as error:
            raise PublishError(f"topic {name}: a record was not published ({error}); try again") from None

    def _known(self, topic: str) -> str:
        """The full name of a topic that exists: a typing error in --prefix must not create topics."""
        # The client's own switch does not help with the embedded broker, which creates what it is asked for.
        name = f"{self._prefix}{topic}"
        with admin(self._broker) as client:
            if name not in client.list_topics():
                raise PublishError(
                    f"topic {name} is not on {self._broker}: run `evergraph topics create`, or check --prefix"
                )
        self._names[topic] = name
        return name

    def prepare(self, topic: str) -> None:
        """Look a topic (table name) up now, so that the first send need not. Raises `PublishError`."""
        self._producer.partitions_for(self._names.get(topic) or self._known(topic))

    def interaction(self, message: InteractionMessage) -> Any:
        """Queue one interaction."""
        return self.send("interactions", message.user_id.encode(), encode(message))

    def item(self, item: Item) -> Any:
        """Queue one catalogue entry."""
        return self.send("items", item.item_id.encode(), encode(item_message(item)))

    def wait(self, future: Any) -> Published:
        """Where a queued record went. Raises `PublishError`."""
        try:
            meta = future.get(timeout=DELIVER_WITHIN_S)
        except KafkaError as error:
            raise PublishError(f"the broker did not take a record: {error}") from None
        return Published(meta.topic, meta.partition, meta.offset, meta.timestamp)

    def flush(self) -> None:
        """Wait until all queued records are acknowledged. Raises `PublishError`."""
        try:
            self._producer.flush(timeout=DELIVER_WITHIN_S)
        except KafkaError as error:
            raise PublishError(f"the broker did not take all records: {error}") from None

    def close(self) -> None:
        """Let go of the connection; what is still queued gets a moment."""
        self._producer.close(timeout=5)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def publish_one(broker: str, message: InteractionMessage, prefix: str = DEFAULT_PREFIX) -> Published:
    """Publish one interaction and wait for its offset."""
    with Publisher(broker, prefix) as publisher:
        return publisher.wait(publisher.interaction(message))


def publish_log(
    log: InteractionLog,
    broker: str,
    prefix: str = DEFAULT_PREFIX,
    *,
    rate: float | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> PublishReport:
    """Publish a log, its items first; `rate` in events/s (None: full speed), `limit` in events.

    `progress(sent, total)` is called about every thousand events. Raises `BrokerUnreachable`, `PublishError`.
    """
    log = log if limit is None else log.head(limit)
    with Publisher(broker, prefix, linger_ms=10) as publisher:
        items = publish_items(log.items, publisher)
        started = time.perf_counter()
        events = _publish_events(log, publisher, rate, progress)
        return PublishReport(events, items, time.perf_counter() - started)


def publish_items(items: Sequence[Item], publisher: Publisher) -> int:
    """Publish a catalogue and wait for it; how many there were is returned."""
    futures = [publisher.item(item) for item in items]
    publisher.flush()
    for future in futures:
        publisher.wait(future)
    return len(items)


def item_message(item: Item) -> ItemMessage:
    """The message of a catalogue entry."""
    return ItemMessage(
        item_id=item.item_id,
        title=item.title,
        brand=item.brand,
        categories=tuple(item.categories),
        price=item.price,
        available=item.available,
    )


def encoded_events(log: InteractionLog) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each row of a log, in order.

    An id is sent only where a worker could not derive it: for rows that repeat another one.
    """
    labels = {int(kind): kind.label for kind in EventType}
    # The frame is checked where it is read, so rows are encoded as they are: building a Struct first takes
    # twice as long.
    to_json = msgspec.json.Encoder().encode
    columns = ("user_id", "item_id", "event_type", "ts", "value")
    for (user, item, kind, ts, value), repeat in zip(log.frame.select(columns).iter_rows(), log.repeats, strict=True):
        body = {
            "schema_version": 1,
            "user_id": user,
            "item_id": item,
            "event_type": labels[kind],
            "ts_ms": ts,
        }
        if value is not None:
            body["value"] = value
        if repeat:
            body["event_id"] = derive_event_id(user, item, labels[kind], ts, repeat)
        yield user.encode(), to_json(body)


def _publish_events(log: InteractionLog, publisher: Publisher, rate: float | None, progress: Progress | None) -> int:
    total, sent = log.frame.height, 0
    chunk = _CHUNK if rate is None else max(1, min(_CHUNK, int(rate / 50)))
    waiting: deque[list[Any]] = deque()
    futures: list[Any] = []
    started = time.perf_counter()
    for key, value in encoded_events(log):
        futures.append(publisher.send("interactions", key, value))
        sent += 1
        if sent % chunk == 0:
            waiting.append(futures)
            futures = []
            if len(waiting) * chunk > WINDOW:
                _settle(publisher, waiting.popleft())
            if progress and sent % _CHUNK < chunk:
                progress(sent, total)
            if rate is not None:
                time.sleep(max(0.0, started + sent / rate - time.perf_counter()))
    publisher.flush()
    waiting.append(futures)
    while waiting:
        _settle(publisher, waiting.popleft())
    if progress:
        progress(sent, total)
    return sent


def _settle(publisher: Publisher, futures: Sequence[Any]) -> None:
    """Wait for these records; the usual one is done already and costs one look."""
    for future in futures:
        if not future.succeeded():
            publisher.wait(future)
