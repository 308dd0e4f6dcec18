"""What an operator may do to a worker without losing or doubling an event: kill it, stop it, give it another
log."""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from worker_process import WorkerProcess, event, keyed, producer, records, worker

from streams.admin import create_topics
from streams.broker import EmbeddedBroker
from streams.messages import RecommendationMessage

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000
BATCH = 32


def _events(count: int, seed: int = 0) -> list[dict[str, object]]:
    draw = random.Random(seed)
    kinds = ["purchase", "view", "cart", "dislike"]
    return [
        event(f"user-{draw.randrange(40)}", f"item-{draw.randrange(60)}", TS + 1_000 * place, draw.choice(kinds))
        for place in range(count)
    ]


def _publish(broker: str, prefix: str, events: list[dict[str, object]]) -> None:
    with producer(broker) as client:
        for message in events:
            client.send(f"{prefix}interactions", msgspec.json.encode(message), key=keyed(message))
        client.flush()


def _group_offset(broker: str, group: str, topic: str) -> int | None:
    consumer = KafkaConsumer(bootstrap_servers=broker, group_id=group, enable_auto_commit=False)
    try:
        committed: int | None = consumer.committed(TopicPartition(topic, 0))
        return committed
    finally:
        consumer.close()


class _Load(threading.Thread):
    """Publishes without end at a rate, until told to stop; then up to the next whole batch."""

    def __init__(self, broker: str, prefix: str, rate: float) -> None:
        super().__init__(daemon=True)
        self._broker, self._prefix, self._rate = broker, prefix, rate
        self._ended = threading.Event()
        self.sent = 0

    def run(self) -> None:
        with producer(self._broker) as client:
            for message in _events(20_000):
                client.send(f"{self._prefix}interactions", msgspec.json.encode(message), key=keyed(message))
                self.sent += 1
                if self._ended.is_set() and self.sent % BATCH == 0:
                    break
                self._ended.wait(1 / self._rate)
            client.flush()

    def finish(self) -> int:
        """Stop; how many were sent."""
        self._ended.set()
        self.join(60)
        return self.sent


def test_five_kills_under_load_lead_to_the_state_of_an_uninterrupted_run(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    draw = random.Random(20)
    settings = {"batching": f"fixed:{BATCH}", "snapshot_events": 4 * BATCH}
    with worker(broker, prefix, tmp_path / "killed", **settings) as killed:
        load = _Load(broker, prefix, rate=60.0)
        load.start()
        for _ in range(5):
            killed.until_applied(killed.applied() + draw.randrange(1, 5 * BATCH))
            assert killed.end(signal.SIGKILL) == -signal.SIGKILL
            killed.start()
        count = load.finish()
        killed.until_applied(count - 1)
        after_kills = killed.shard(digest=True)
    with worker(broker, prefix, tmp_path / "whole", group_id="another", **settings) as uninterrupted:
        uninterrupted.until_applied(count - 1)
        reference = uninterrupted.shard(digest=True)

    assert after_kills["digest"] == reference["digest"]
    assert after_kills["events"] == count
    assert after_kills["duplicates"] == 0


def test_a_stopped_worker_goes_on_where_it_stood_and_commits_what_its_oldest_snapshot_covers(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    settings = {"snapshot_events": 50, "keep_snapshots": 2, "commit_interval_ms": 100}
    with worker(broker, prefix, tmp_path, **settings) as graph:
        _publish(broker, prefix, _events(400))
        graph.until_applied(399)
        before = graph.shard(digest=True)
        committed = before["commit_offset"]
        assert 0 < committed <= 400
        graph.until(
            lambda: _group_offset(broker, f"{prefix}evergraph-graph", f"{prefix}interactions") == committed,
            f"committed at {committed}",
        )
        assert graph.end(signal.SIGTERM) == 0
        assert graph.url is None, "the note of a stopped worker must not lead anybody astray"

        graph.start()
        after = graph.shard(digest=True)
        assert (after["applied_offset"], after["digest"]) == (399, before["digest"])
        _publish(broker, prefix, [event("user-1", "item-1", TS + 10**6)])
        graph.until_applied(400)
        assert graph.shard()["events"] == 401


def test_lost_state_is_rebuilt_from_the_whole_log_although_the_group_has_gone_further(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    settings = {"batching": "fixed:20", "snapshot_events": 40, "keep_snapshots": 1, "commit_interval_ms": 100}
    with worker(broker, prefix, tmp_path / "lost", **settings) as graph:
        _publish(broker, prefix, _events(200))
        graph.until_applied(199)
        graph.until(
            lambda: (_group_offset(broker, f"{prefix}evergraph-graph", f"{prefix}interactions") or 0) > 100,
            "committed",
        )
        digest = graph.shard(digest=True)["digest"]
        graph.end(signal.SIGKILL)
    with worker(broker, prefix, tmp_path / "new", **settings) as again:
        again.until_applied(199)
        assert again.shard(digest=True)["digest"] == digest


def test_catching_up_publishes_nothing_until_the_end_and_then_one_list_per_touched_user(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    create_topics(broker, prefix)
    _publish(broker, prefix, _events(300))
    with worker(broker, prefix, tmp_path, lists_per_call=7) as graph:
        users = {str(message["user_id"]) for message in _events(300)}
        graph.until(lambda: graph.shard()["lists_waiting"] == 0, "out of waiting lists")
        found = records(broker, f"{prefix}recommendations", len(users))
        lists = [msgspec.json.decode(record.value or b"", type=RecommendationMessage) for record in found]
        assert sorted(made.user_id for made in lists) == sorted(users)
        assert {made.horizon.offset for made in lists} == {299}


def test_a_new_log_starts_over_and_the_state_is_kept(prefix: str, tmp_path: Path) -> None:
    with EmbeddedBroker(log_file=tmp_path / "broker-1.log") as first, worker(first.address, prefix, tmp_path) as graph:
        _publish(first.address, prefix, _events(100))
        graph.until_applied(99)
        assert graph.end() == 0
    with EmbeddedBroker(log_file=tmp_path / "broker-2.log") as second:
        create_topics(second.address, prefix)
        graph = WorkerProcess(second.address, prefix, tmp_path)
        try:
            graph.start()
            assert graph.shard()["applied_offset"] == -1
            assert graph.shard()["events"] == 100
            _publish(second.address, prefix, [event("user-1", "item-new", TS + 10**6)])
            graph.until_applied(0)
            assert graph.shard()["events"] == 101
            assert graph.get("/history/user-1?n=1")["events"][0]["item_id"] == "item-new"
        finally:
            graph.close()


def test_a_worker_whose_broker_is_gone_ends_soon_when_asked(prefix: str, tmp_path: Path) -> None:
    with EmbeddedBroker(log_file=tmp_path / "broker.log") as broker, worker(broker.address, prefix, tmp_path) as graph:
        _publish(broker.address, prefix, _events(100))
        graph.until_applied(99)
        broker.stop()
        threading.Event().wait(3)  # fetches fail and are tried again
        assert graph.end(signal.SIGTERM, timeout_s=30) == 0


def test_a_worker_ends_by_itself_when_its_supervisor_is_gone(broker: str, prefix: str, tmp_path: Path) -> None:
    import subprocess
    import sys

    create_topics(broker, prefix)
    script = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-m', 'evergraph', 'worker', '--supervised', *sys.argv[1:]])\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    arguments = ["--broker", broker, "--prefix", prefix, "--state-dir", str(tmp_path), "--http-port", "0"]
    with (tmp_path / "worker.log").open("ab") as sink:
        parent = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=sink, text=True
        )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    graph = WorkerProcess(broker, prefix, tmp_path)
    graph._process = parent
    graph.until((tmp_path / "worker.json").exists, "started")
    parent.kill()
    parent.wait()

    deadline = threading.Event()
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists() and not (tmp_path / "worker.json").exists():
            return
        deadline.wait(0.1)
    pytest.fail("the worker outlived its supervisor")
