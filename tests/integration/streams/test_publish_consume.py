"""What is published is consumed, whole and in order, from the embedded broker and from Apache Kafka alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from kafka import TopicPartition

from dyngraph.events import EventType, Item
from evaluation.readers.log import InteractionLog
from streams.admin import (
    BrokerUnreachable,
    TopicMismatch,
    check_topics,
    create_topics,
    list_topics,
    topic_ids,
)
from streams.codec import decode, decode_interaction, encode, to_interaction
from streams.consumer import (
    NoSuchTopic,
    Record,
    ends_of,
    group_less,
    latest_by_key,
    partitions_of,
    read,
    read_to_end,
)
from streams.messages import DeadLetter, InteractionMessage, ItemMessage
from streams.offsets import end_offsets, parse_start
from streams.partitioning import partition_of
from streams.producer import Publisher, PublishError, publish_log, publish_one
from streams.topics import TOPICS

ROOT = Path(__file__).parents[3]
EVENTS = 3_000


def a_log(events: int = EVENTS) -> InteractionLog:
    """A made log: 97 users, 31 items, values here and there."""
    frame = pl.DataFrame(
        {
            "user_id": [f"user-{i % 97}" for i in range(events)],
            "item_id": [f"item-{i * 7 % 31}" for i in range(events)],
            "event_type": pl.Series([1 + i % 9 for i in range(events)], dtype=pl.Int8),
            "ts": [1_291_191_960_000 + i for i in range(events)],
            "value": [None if i % 2 else i / 4 for i in range(events)],
        }
    )
    return InteractionLog("made", frame, [Item(item_id=f"item-{i}", title=f"Thing {i}") for i in range(31)])


def events_of(records: list[Record]) -> list[InteractionMessage]:
    return [decode_interaction(record.value, record.key) for record in records]


def test_topics_are_created_once_with_their_partition_counts(broker: str, prefix: str) -> None:
    assert not any(state.exists for state in list_topics(broker, prefix))
    created = create_topics(broker, prefix, partitions=3)
    assert created == [f"{prefix}{spec.name}" for spec in TOPICS]
    assert create_topics(broker, prefix, partitions=3) == []
    counts = {state.spec.name: state.partitions for state in check_topics(broker, prefix, partitions=3)}
    assert (counts["interactions"], counts["recommendations"], counts["items"]) == (3, 3, 1)
    assert len(set(topic_ids(broker, prefix).values())) == len(TOPICS)


def test_another_partition_count_is_an_error_with_the_fix(broker: str, prefix: str) -> None:
    create_topics(broker, prefix, partitions=2)
    for act in (create_topics, check_topics):
        with pytest.raises(TopicMismatch, match=r"has 2 partition\(s\), 5 wanted: run with --partitions 2"):
            act(broker, prefix, partitions=5)


def test_missing_topics_are_an_error_with_the_command(broker: str, prefix: str) -> None:
    with pytest.raises(TopicMismatch, match="evergraph topics create --broker"):
        check_topics(broker, prefix)
    with pytest.raises(NoSuchTopic, match="topics create"):
        read_to_end(broker, f"{prefix}interactions")
    with Publisher(broker, prefix) as publisher, pytest.raises(PublishError, match="topics create"):
        publisher.interaction(InteractionMessage(user_id="u", item_id="i", event_type="view", ts_ms=1))


def test_a_log_arrives_whole_and_in_order_with_its_catalogue(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    log = a_log()
    told: list[tuple[int, int]] = []
    report = publish_log(log, broker, prefix, progress=lambda sent, total: told.append((sent, total)))
    assert (report.events, report.items) == (EVENTS, 31)
    assert report.events_per_s > 0
    assert told[-1] == (EVENTS, EVENTS)

    records = read_to_end(broker, f"{prefix}interactions")
    assert [record.offset for record in records] == list(range(EVENTS))
    rows = [(m.user_id, m.item_id, int(EventType.of(m.event_type)), m.ts_ms, m.value) for m in events_of(records)]
    assert rows == list(log.frame.iter_rows())

    items = latest_by_key(read_to_end(broker, f"{prefix}items"))
    assert len(items) == 31
    assert decode(ItemMessage, items[b"item-5"]).title == "Thing 5"


def test_users_lie_on_the_partition_of_their_key(broker: str, prefix: str) -> None:
    create_topics(broker, prefix, partitions=4)
    publish_log(a_log(), broker, prefix)
    records = read_to_end(broker, f"{prefix}interactions")
    assert len(records) == EVENTS
    assert all(record.key and record.partition == partition_of(record.key, 4) for record in records)
    for partition in range(4):
        times = [m.ts_ms for m in events_of([r for r in records if r.partition == partition])]
        assert times == sorted(times)


def test_limit_and_rate_are_kept(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    report = publish_log(a_log(), broker, prefix, rate=1_000, limit=300)
    assert report.events == 300
    assert report.seconds >= 0.29
    assert len(read_to_end(broker, f"{prefix}interactions")) == 300


def test_the_end_of_a_log_is_after_its_last_record_however_it_was_batched(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    topic = f"{prefix}interactions"
    with group_less(broker) as consumer:
        place = TopicPartition(topic, 0)
        assert end_offsets(consumer, partitions_of(consumer, topic, broker)) == {place: 0}
        publish_log(a_log(500), broker, prefix)  # goes out in big batches
        assert end_offsets(consumer, [place]) == {place: 500}
        publish_one(broker, InteractionMessage(user_id="u", item_id="i", event_type="view", ts_ms=1), prefix)
        assert end_offsets(consumer, [place]) == {place: 501}
    assert ends_of(broker, topic) == {0: 501}


def test_one_event_is_published_to_a_known_place(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    message = InteractionMessage(user_id="häuser", item_id="i", event_type="view", ts_ms=1, value=0.5)
    first = publish_one(broker, message, prefix)
    second = publish_one(broker, message, prefix)
    assert (first.partition, first.offset, second.offset) == (0, 0, 1)
    assert first.ts_ms > 1_600_000_000_000
    assert events_of(read_to_end(broker, f"{prefix}interactions")) == [message, message]


@pytest.mark.parametrize("size", [100_000, 1_200_000, 5_000_000])
def test_a_record_too_large_for_us_still_travels_and_fits_a_dead_letter(broker: str, prefix: str, size: int) -> None:
    create_topics(broker, prefix)
    value = b"y" * size
    with Publisher(broker, prefix) as publisher:
        publisher.wait(publisher.send("interactions", b"u", value))
        letter = DeadLetter(
            id="x/0/0",
            source_topic="x",
            source_partition=0,
            source_offset=0,
            code="too_large",
            message="m",
            ts_ms=1,
            key=b"u",
            value=value,
        )
        publisher.wait(publisher.send("dead-letters", b"u", encode(letter)))
    (came,) = read_to_end(broker, f"{prefix}interactions")
    assert came.value == value
    (dead,) = read_to_end(broker, f"{prefix}dead-letters")
    assert decode(DeadLetter, dead.value, max_bytes=2**31) == letter


def test_null_keys_and_null_values_travel(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    with Publisher(broker, prefix) as publisher:
        publisher.wait(publisher.send("interactions", None, b"no key"))
        publisher.wait(publisher.send("interactions", b"no value", None))
        publisher.wait(publisher.send("interactions", b"", b""))
    records = read_to_end(broker, f"{prefix}interactions")
    assert [(record.key, record.value) for record in records] == [
        (None, b"no key"),
        (b"no value", None),
        (b"", b""),
    ]


def test_a_compact_topic_means_the_last_value_of_each_key(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    with Publisher(broker, prefix) as publisher:
        for key, value in [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"c", b"1"), (b"b", None)]:
            publisher.send("users", key, value)
        publisher.flush()
    assert latest_by_key(read_to_end(broker, f"{prefix}users")) == {b"a": b"2", b"c": b"1"}


def test_reading_starts_where_it_is_told(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    topic = f"{prefix}interactions"
    message = InteractionMessage(user_id="u", item_id="i", event_type="view", ts_ms=1)
    with Publisher(broker, prefix) as publisher:
        places = []
        for _ in range(3):
            places.append(publisher.wait(publisher.interaction(message)))
            # A record timestamp has milliseconds: the next one must be later.
            while publisher.wait(publisher.send("metrics", b"tick", b"{}")).ts_ms <= places[-1].ts_ms:
                pass

    def offsets(start: str) -> list[int]:
        return [record.offset for record in read(broker, topic, parse_start(start), follow=False)]

    assert offsets("earliest") == [0, 1, 2]
    assert offsets("latest") == []
    assert offsets(f"ts={places[1].ts_ms}") == [1, 2]
    assert offsets(f"ts={places[2].ts_ms + 1}") == []
    assert offsets("last=1h") == [0, 1, 2]
    assert offsets("ts=2011-01-01T00:00") == [0, 1, 2]
    assert offsets("ts=2099-01-01") == []


def test_reading_follows_until_the_limit(broker: str, prefix: str) -> None:
    create_topics(broker, prefix)
    topic = f"{prefix}interactions"
    message = InteractionMessage(user_id="u", item_id="i", event_type="view", ts_ms=1)
    publish_one(broker, message, prefix)
    stream = read(broker, topic, parse_start("earliest"), limit=2)
    assert next(stream).offset == 0
    publish_one(broker, message, prefix)
    assert [record.offset for record in stream] == [1]


def test_an_address_where_nobody_answers_is_named() -> None:
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 .*--broker host:port"):
        list_topics("127.0.0.1:1", timeout_s=0.5)


def test_the_commands_publish_and_consume(broker: str, prefix: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "user_id,item_id,event_type,ts\n" + "".join(f"u{i % 3},i{i},view,{1_600_000_000 + i}\n" for i in range(30))
    )
    env = {**os.environ, "EVERGRAPH_BROKER": broker, "EVERGRAPH_PREFIX": prefix}

    def evergraph(*arguments: str) -> str:
        command = [sys.executable, "-m", "evergraph", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "16 topics created" in evergraph("topics", "create")
    assert "missing" not in evergraph("topics", "list")
    figures = tmp_path / "figures.json"
    assert "30 events" in evergraph("publish", str(log), "--json", str(figures))
    assert json.loads(figures.read_text())["events"] == 30

    lines = evergraph("consume", "--topic", "interactions", "--user", "u1", "--no-follow", "--lines").splitlines()
    assert [json.loads(line)["value"]["user_id"] for line in lines] == ["u1"] * 10
    evergraph("consume", "--topic", "interactions", "--limit", "4", "--json", str(figures))
    found = json.loads(figures.read_text())
    assert (found["count"], [record["offset"] for record in found["records"]]) == (4, [0, 1, 2, 3])
    assert "u2" in evergraph("consume", "--topic", "interactions", "--no-follow")


def test_equal_rows_of_a_file_carry_ids_of_their_own(broker: str, prefix: str) -> None:
    create_topics(broker, prefix, 1)
    log = a_log(3)
    twice = InteractionLog("twice", pl.concat([log.frame, log.frame]))
    publish_log(twice, broker, prefix)
    events = [to_interaction(event) for event in events_of(read_to_end(broker, f"{prefix}interactions"))]
    assert [event.event_id for event in events] == twice.event_ids
    assert len({event.event_id for event in events}) == 6
