"""Everything a producer can get wrong lands in the dead letters, or where it belongs; its neighbours are
processed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from worker_process import event, keyed, producer, records, worker

from streams.codec import encode
from streams.messages import DeadLetter

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000


def _json(**changes: object) -> bytes:
    return msgspec.json.encode({**event("u", "i", TS), **changes})


BAD: list[tuple[str, bytes | None, bytes | None]] = [
    ("not_json", b"u", b'{"user_id": '),
    ("not_json", b"u", b"\x00\x01\x02"),
    ("not_json", b"u", b""),
    ("wrong_type", b"u", b"[1, 2]"),
    ("missing_field", b"u", b'{"user_id": "u", "event_type": "view", "ts_ms": 1700000000000}'),
    ("wrong_type", b"u", _json(item_id=7)),
    ("wrong_type", b"u", _json(ts_ms="yesterday")),
    ("not_json", b"u", b'{"user_id": "u", "item_id": "i", "event_type": "view", "ts_ms": NaN}'),
    ("out_of_bounds", b"u", _json(ts_ms=-1)),
    ("out_of_bounds", b"u", _json(ts_ms=32_503_680_000_000)),  # the year 3000
    (
        "out_of_bounds",
        b"u",
        b'{"user_id":"u","item_id":"i","event_type":"view","ts_ms":100000000000000000000000}',
    ),
    ("out_of_bounds", b"", _json(user_id="")),
    ("out_of_bounds", b"u", _json(item_id="x" * 10_240)),
    ("unknown_event_type", b"u", _json(event_type="teleport")),
    ("unknown_schema_version", b"u", _json(schema_version=99)),
    ("null_value", b"u", None),
    ("null_key", None, _json()),
    ("too_large", b"u", b'{"user_id": "u", "context": "' + b"x" * 5_000_000 + b'"}'),
    ("in_future", b"u", _json(ts_ms=4_000_000_000_000)),
]


def test_bad_records_become_dead_letters_with_place_code_and_bytes_and_their_neighbours_are_processed(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        topic = f"{prefix}interactions"
        expected = {}
        for number, (code, key, value) in enumerate(BAD):
            good = event("neighbour", f"item-{number}", TS + number)
            client.send(topic, msgspec.json.encode(good), key=keyed(good)).get(30)
            offset = client.send(topic, value, key=key).get(30).offset
            expected[offset] = (code, key, value)
        last = client.send(topic, msgspec.json.encode(event("neighbour", "last", TS + 100)), key=b"neighbour").get(30)
        graph.until_applied(last.offset)

        letters = [
            msgspec.json.decode(record.value or b"", type=DeadLetter)
            for record in records(broker, f"{prefix}dead-letters", len(BAD))
        ]
        found = {letter.source_offset: letter for letter in letters}
        assert {offset: found[offset].code for offset in expected} == {o: code for o, (code, _, _) in expected.items()}
        for offset, (_, key, value) in expected.items():
            letter = found[offset]
            assert (letter.source_topic, letter.source_partition) == (topic, 0)
            assert (letter.key, letter.value) == (key, value), letter.code
            assert letter.id == f"{topic}/0/{offset}"
        history = graph.get(f"/history/neighbour?n={len(BAD) + 1}")["events"]
        kept = {entry["item_id"] for entry in history}
        assert "last" in kept
        assert graph.shard()["events"] == len(BAD) + 1


def test_a_key_that_is_not_the_user_is_forwarded_once_and_then_processed(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        topic = f"{prefix}interactions"
        client.send(topic, _json(user_id="right"), key=b"wrong").get(30)
        graph.until_applied(1)
        moved = records(broker, topic, 2)[1]
        assert moved.key == b"right"
        assert dict(moved.headers) == {"evergraph-forwarded": b"1"}
        assert [entry["item_id"] for entry in graph.get("/history/right")["events"]] == ["i"]
        assert graph.get("/state")["forwarded"] == 1


def test_a_record_that_was_forwarded_and_is_still_wrong_is_a_dead_letter(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        moved = [("evergraph-forwarded", b"1")]
        client.send(f"{prefix}interactions", _json(user_id="right"), key=b"wrong", headers=moved).get(30)
        graph.until_applied(0)
        (record,) = records(broker, f"{prefix}dead-letters", 1)
        assert msgspec.json.decode(record.value or b"", type=DeadLetter).code == "key_mismatch"


def test_an_event_on_the_wrong_partition_moves_to_its_users_partition(broker: str, prefix: str, tmp_path: Path) -> None:
    from streams.partitioning import partition_of

    home = partition_of(b"u", 2)
    with worker(broker, prefix, tmp_path, partitions=2) as graph, producer(broker) as client:
        client.send(f"{prefix}interactions", _json(), key=b"u", partition=1 - home).get(30)
        graph.until_applied(0, partition=home)
        assert graph.shard(home)["events"] == 1
        assert graph.shard(1 - home)["events"] == 0


def test_bad_requests_are_dead_letters_too(broker: str, prefix: str, tmp_path: Path) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        topic = f"{prefix}recommendation-requests"
        client.send(topic, b"{", key=b"u").get(30)
        client.send(topic, None, key=b"u").get(30)
        client.send(topic, msgspec.json.encode({"request_id": "r", "user_id": "u", "k": 0}), key=b"u").get(30)
        client.send(f"{prefix}items", b'{"item_id": ""}', key=b"").get(30)
        found = [
            msgspec.json.decode(record.value or b"", type=DeadLetter)
            for record in records(broker, f"{prefix}dead-letters", 4)
        ]
        codes = sorted((letter.source_topic.removeprefix(prefix), letter.code) for letter in found)
        assert codes == [
            ("items", "out_of_bounds"),
            ("recommendation-requests", "not_json"),
            ("recommendation-requests", "null_value"),
            ("recommendation-requests", "out_of_bounds"),
        ]
        assert graph.get("/health/live") == {"status": "live"}
        assert encode(found[0])
