"""A worker that cannot keep its promises says why in one line and ends with a code that a supervisor
understands."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from worker_process import WorkerProcess, worker

from streams.admin import create_topics
from streams.broker import EmbeddedBroker
from streams.settings import llm_layer, load_settings
from streams.supervisor import Installation, WorkerGone

pytestmark = pytest.mark.slow


def _refused(process: WorkerProcess) -> tuple[int, str]:
    try:
        code = process.spawn().wait()
    finally:
        process.close()
    errors = [line for line in process.tail().splitlines() if line.startswith("error: ")]
    return code, errors[-1] if errors else process.tail()


def test_missing_topics_end_it_with_the_command_that_creates_them(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    code, error = _refused(WorkerProcess(embedded_broker.address, prefix, tmp_path))
    assert code == 2
    assert "evergraph topics create" in error


def test_another_number_of_partitions_ends_it_with_the_number_to_use(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    create_topics(embedded_broker.address, prefix, 2)
    code, error = _refused(WorkerProcess(embedded_broker.address, prefix, tmp_path, partitions=3))
    assert code == 2
    assert "--partitions 2" in error


def test_a_taken_http_port_is_named_with_the_way_out(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    create_topics(embedded_broker.address, prefix)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, error = _refused(WorkerProcess(embedded_broker.address, prefix, tmp_path, http_port=port))
    assert code == 2
    assert f"HTTP port {port}" in error
    assert "--http-port" in error


def test_no_broker_is_told_with_the_ways_to_one(tmp_path: Path) -> None:
    code, error = _refused(WorkerProcess("127.0.0.1:9", "none.", tmp_path))
    assert code == 2
    assert "no Kafka broker answers at 127.0.0.1:9" in error


@pytest.mark.kafka
def test_a_session_timeout_that_the_broker_does_not_allow_ends_it_instead_of_waiting_for_ever(
    kafka_address: str, prefix: str, tmp_path: Path
) -> None:
    create_topics(kafka_address, prefix)
    process = WorkerProcess(kafka_address, prefix, tmp_path, session_timeout_ms=1_000)
    code, _ = _refused(process)
    assert code == 1
    assert "InvalidSessionTimeoutError" in process.tail()


@pytest.mark.kafka
def test_offsets_that_left_retention_end_it_with_an_instruction(
    kafka_address: str, prefix: str, tmp_path: Path
) -> None:
    import msgspec
    from kafka import KafkaAdminClient, TopicPartition
    from worker_process import event, producer

    topic = f"{prefix}interactions"
    with worker(kafka_address, prefix, tmp_path) as graph, producer(kafka_address) as client:
        for place in range(10):
            client.send(topic, msgspec.json.encode(event("u", f"i{place}", 1_700_000_000_000 + place)), key=b"u")
        client.flush()
        graph.until_applied(9)
        assert graph.end() == 0
        for place in range(10):
            client.send(topic, msgspec.json.encode(event("u", f"j{place}", 1_700_000_100_000 + place)), key=b"u")
        client.flush()
        admin = KafkaAdminClient(bootstrap_servers=kafka_address)
        admin.delete_records({TopicPartition(topic, 0): 15})
        admin.close()
        assert graph.spawn().wait() == 3
        assert "begins at offset 15 and the state needs 10" in graph.tail()
        assert "evergraph replay" in graph.tail()


def test_a_state_of_other_settings_ends_it_with_what_may_differ(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    import msgspec
    from worker_process import event, producer

    with worker(embedded_broker.address, prefix, tmp_path) as graph, producer(embedded_broker.address) as client:
        client.send(f"{prefix}interactions", msgspec.json.encode(event("u", "i", 1_700_000_000_000)), key=b"u")
        client.flush()
        graph.until_applied(0)
        assert graph.end() == 0
    process = WorkerProcess(embedded_broker.address, prefix, tmp_path, relations=False)
    assert _refused(process)[0] == 3
    assert "made with other settings (models, sizes, seed, --llm or --no-llm, profiles, reasoning," in process.tail()

    told: list[str] = []
    settings = load_settings(
        {"broker": embedded_broker.address, "prefix": prefix, "state_dir": tmp_path, "http_port": 0}
        | llm_layer(on=False)
        | {"clock": "log"},
        env={},
    )
    with (
        pytest.raises(WorkerGone, match=r"ended with code 3: .*SnapshotError: .*use the former settings"),
        Installation(settings, tell=told.append) as up,
    ):
        up.wait_ready()
    assert told == [], "it is not started again"


def test_it_stops_at_once_when_asked_while_it_still_joins_its_group(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    create_topics(embedded_broker.address, prefix)
    # The embedded broker answers a join after half the session timeout: for this minute the worker only
    # waits.
    process = WorkerProcess(embedded_broker.address, prefix, tmp_path, session_timeout_ms=80_000)
    try:
        process.spawn()
        process.until(lambda: "user records read" in process.tail(), "joining")
        assert process.end(timeout_s=20) == 0
    finally:
        process.close()
