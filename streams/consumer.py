"""Reading without a consumer group: for people at a terminal, for tests, for compact topics read whole.

A group would cost a rebalance and leave offsets behind; a reader that wants everything, or a look, needs
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.admin import unreachable
from streams.broker import BrokerError
from streams.offsets import Start, end_offsets, resolve
from streams.topics import DEAD_LETTER_MAX_BYTES

METADATA_WITHIN_S = 10.0


class Record(NamedTuple):
    """One record as the broker has it; `timestamp` in ms. Key and value may be null."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class NoSuchTopic(BrokerError):
    """Raised for a topic the broker does not have."""


@contextmanager
def group_less(
    broker: str, *, timeout_s: float = METADATA_WITHIN_S, fetch_wait_ms: int = 50
) -> Iterator[KafkaConsumer]:
    """A consumer that joins no group, commits nothing and creates no topic. Raises `BrokerUnreachable`.

    The embedded broker answers an empty fetch only after half of `fetch_wait_ms`, also if a record came meanwhile.
    """
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=broker.split(","),
            client_id="evergraph-reader",
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES,
            max_poll_records=2_000,
            fetch_max_wait_ms=fetch_wait_ms,
            bootstrap_timeout_ms=int(timeout_s * 1000),
            # Checksums are verified in pure Python, 140 ms a megabyte, and TCP has its own.
            check_crcs=False,
        )
    except (KafkaError, OSError, ValueError) as error:
        raise unreachable(broker, error) from None
    try:
        yield consumer
    finally:
        consumer.close()


def read(
    broker: str,
    topic: str,
    start: Start,
    *,
    follow: bool = True,
    limit: int | None = None,
    poll_ms: int = 200,
) -> Iterator[Record]:
    """Records of a topic (full name) from `start` on, in log order per partition.

    With `follow` it waits for more for ever; without, it ends where the log ended when it was opened. `limit`
    ends it too. Raises `NoSuchTopic`, `BrokerUnreachable`.
    """
    if limit is not None and limit <= 0:
        return
    with group_less(broker) as consumer:
        partitions = partitions_of(consumer, topic, broker)
        position = resolve(consumer, partitions, start)
        ends = None if follow else end_offsets(consumer, partitions)
        consumer.assign(partitions)
        for tp, offset in position.items():
            consumer.seek(tp, offset)
        count = 0
        while ends is None or _before(consumer, ends):
            for tp, records in consumer.poll(timeout_ms=poll_ms).items():
                for record in records:
                    if not start.admits(record.timestamp) or (ends is not None and record.offset >= ends[tp]):
                        continue
                    yield _record(tp, record)
                    count += 1
                    if count == limit:
                        return


@contextmanager
def tail(broker: str, topic: str) -> Iterator[Callable[[int], list[Record]]]:
    """A reader that already stands at the end of a topic (full name): what it yields polls for new records.

    The poll takes a time-out in ms. Raises `NoSuchTopic`, `BrokerUnreachable`.
    """
    with group_less(broker, fetch_wait_ms=10) as consumer:
        partitions = partitions_of(consumer, topic, broker)
        ends = end_offsets(consumer, partitions)
        consumer.assign(partitions)
        for tp, offset in ends.items():
            consumer.seek(tp, offset)

        def poll(timeout_ms: int) -> list[Record]:
            polled = consumer.poll(timeout_ms=timeout_ms).items()
            return [_record(tp, record) for tp, records in polled for record in records]

        yield poll


def read_to_end(broker: str, topic: str) -> list[Record]:
    """Everything a topic (full name) holds now. Raises `NoSuchTopic`, `BrokerUnreachable`."""
    return list(read(broker, topic, Start("earliest"), follow=False))


def ends_of(broker: str, topic: str) -> dict[int, int]:
    """The offset after the last record of each partition of a topic (full name), true on every broker."""
    with group_less(broker) as consumer:
        ends = end_offsets(consumer, partitions_of(consumer, topic, broker))
    return {tp.partition: end for tp, end in ends.items()}


def _record(tp: TopicPartition, record: Any) -> Record:
    return Record(tp.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


def latest_by_key(records: Iterable[Record]) -> dict[bytes, bytes]:
    """What a compact topic means: the last value of each key, without those whose last value is null."""
    table: dict[bytes, bytes] = {}
    for record in records:
        if record.key is None:
            continue
        if record.value is None:
            table.pop(record.key, None)
        else:
            table[record.key] = record.value
    return table


def partitions_of(consumer: KafkaConsumer, topic: str, broker: str) -> list[TopicPartition]:
    """The partitions of a topic (full name). Raises `NoSuchTopic`."""
    # Asking for all topics, since some brokers create a topic on being asked for it.
    known = consumer.partitions_for_topic(topic) if topic in consumer.topics() else None
    if not known:
        raise NoSuchTopic(f"topic {topic} is not on {broker}: run `evergraph topics create`, or check --prefix")
    return [TopicPartition(topic, partition) for partition in sorted(known)]


def _before(consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return any(consumer.position(tp) < end for tp, end in ends.items())
