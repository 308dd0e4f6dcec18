"""Learning beside serving, with real processes: one hands over, the other switches in, and either may be killed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from worker_process import WorkerProcess, event, keyed, producer, records, worker

from dyngraph.journal import read_journal
from dyngraph.shard import ShardConfig
from evaluation.readers import bundled_path, read_log
from streams.consumer import read_to_end
from streams.messages import RecommendationMessage, Weights
from streams.producer import publish_log

pytestmark = pytest.mark.slow

EVENTS = 900
EVERY = 250


@contextlib.contextmanager
def pair(broker: str, prefix: str, folder: Path, **settings: object) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    """A worker that takes its weights from a trainer, and the trainer."""
    known = {"learner": "trainer", "weights_every_events": EVERY, "allowed_lateness_ms": 10**12, **settings}
    with worker(broker, prefix, folder, **known) as serving:
        learning = WorkerProcess(broker, prefix, folder, role="trainer", **known)
        try:
            yield serving, learning.start()
        finally:
            learning.close()


def weights(serving: WorkerProcess) -> dict[str, Any]:
    found: dict[str, Any] = serving.shard()["weights"]
    return found


def announced_on(broker: str, prefix: str) -> list[Weights]:
    return [msgspec.json.decode(one.value or b"", type=Weights) for one in read_to_end(broker, f"{prefix}weights")]


def publish(broker: str, prefix: str, start: int, end: int) -> None:
    log = read_log(bundled_path())
    publish_log(type(log)("part", log.frame[start:end], log.items), broker, prefix, rate=1_000)


def switches(folder: Path) -> list[str]:
    journals = ShardConfig(folder).journals(0)
    return [record.switched for path in journals.iterdir() for record in read_journal(path) if record.switched]


def test_a_worker_killed_beside_a_trainer_recovers_to_what_its_journal_leads_to(
    embedded_broker: Any, prefix: str, tmp_path: Path
) -> None:
    broker, state = embedded_broker.address, tmp_path / "state"
    with pair(broker, prefix, state, snapshot_events=400) as (serving, learning):
        publish(broker, prefix, 0, 600)
        serving.until(lambda: learning.applied() >= 599, "learned")
        for start in (600, 750):
            publish(broker, prefix, start, start + 150)
            serving.until(lambda: weights(serving)["switched"] is not None, "served with handed-over weights")
            assert serving.end(signal.SIGKILL) == -signal.SIGKILL
            serving.start()
        serving.until_applied(EVENTS - 1)
        shard = serving.shard(digest=True)
        serving.end(signal.SIGKILL)
        learning.end()
    assert shard["weights"]["version"] == shard["model_version"]
    assert switches(state)
    figures = tmp_path / "replay.json"
    command = [sys.executable, "-m", "evergraph", "replay", "bundled", "--limit", str(EVENTS)]
    subprocess.run([*command, "--journal", str(state), "--json", str(figures)], check=True, capture_output=True)
    assert json.loads(figures.read_text())["digest"] == shard["digest"]

    announced = announced_on(broker, prefix)
    assert {one.file for one in announced} >= set(switches(state))
    assert all(one.name == "encoder-00000" and one.file.endswith(one.sha256[:16]) for one in announced)
    made = records(broker, f"{prefix}recommendations", 1)
    versions = {msgspec.json.decode(one.value or b"", type=RecommendationMessage).model_version for one in made}
    assert versions <= {"evergraph-0", *(f"evergraph-{int(name[:12])}" for name in switches(state))}


def test_a_worker_serves_on_without_its_trainer_and_takes_its_weights_when_it_is_back(
    embedded_broker: Any, prefix: str, tmp_path: Path
) -> None:
    broker = embedded_broker.address
    with pair(broker, prefix, tmp_path) as (serving, learning):
        publish(broker, prefix, 0, 600)
        serving.until(lambda: learning.applied() >= 599, "learned")
        publish(broker, prefix, 600, 610)
        serving.until(lambda: weights(serving)["switched"] is not None, "served with handed-over weights")
        assert learning.end(signal.SIGKILL) == -signal.SIGKILL
        # The trainer may have handed over more than was switched in before it died.
        last = max(int(one.file[:12]) for one in announced_on(broker, prefix))
        publish(broker, prefix, 610, 1_100)
        serving.until_applied(1_099)
        serving.until(lambda: weights(serving)["version"] == last, "served with the last weights")
        assert serving.get("/health/ready") is not None
        learning.start()
        learning.until(lambda: learning.applied() >= 1_099, "caught up")
        publish(broker, prefix, 1_100, 1_110)
        serving.until(lambda: weights(serving)["version"] > last, "served with newer weights")
        assert weights(serving)["refused"] == ""


def test_a_trainer_publishes_weights_and_nothing_else(embedded_broker: Any, prefix: str, tmp_path: Path) -> None:
    broker = embedded_broker.address
    with pair(broker, prefix, tmp_path, weights_every_events=20) as (serving, learning):
        assert serving.end() == 0
        with producer(broker) as client:
            for place in range(60):
                message = event(f"u{place % 7}", f"i{place % 11}", 1_700_000_000_000 + place)
                client.send(f"{prefix}interactions", msgspec.json.encode(message), key=keyed(message))
            client.send(f"{prefix}interactions", b"{broken", key=b"u1")
            client.flush()
        learning.until_applied(60)
        learning.until(lambda: len(read_to_end(broker, f"{prefix}weights")) > 0, "announced")
        assert read_to_end(broker, f"{prefix}recommendations") == []
        assert read_to_end(broker, f"{prefix}dead-letters") == []
        assert read_to_end(broker, f"{prefix}metrics") == []
        assert learning.get("/state")["dead_letters"] == {"not_json": 1}
