"""A real worker as a child process, for tests: start, ask, kill, start again on the same state."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from streams.admin import create_topics
from streams.cli.recommend import WorkerUnreachable, ask
from streams.consumer import Record, read_to_end
from streams.supervisor import is_ready
from streams.worker.note import read_note

READY_WITHIN_S = 90.0


class WorkerProcess:
    """`evergraph worker` against a broker, with a state directory of its own."""

    def __init__(
        self, broker: str, prefix: str, state_dir: Path, partitions: int = 1, role: str = "graph", **settings: object
    ) -> None:
        self.broker, self.prefix, self.state_dir, self.partitions = broker, prefix, state_dir, partitions
        self.role = role
        self.log = state_dir / f"{role}.log"
        self._settings = {"http_port": 0, "session_timeout_ms": 6_000, "clock": "log", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        state_dir.mkdir(parents=True, exist_ok=True)

    def spawn(self) -> WorkerProcess:
        """Start without waiting."""
        own = {f"EVERGRAPH_{name.upper()}": str(value) for name, value in self._settings.items()}
        command = [
            sys.executable,
            "-m",
            "evergraph",
            "worker",
            "--role",
            self.role,
            "--broker",
            self.broker,
            "--prefix",
            self.prefix,
        ]
        command += ["--state-dir", str(self.state_dir), "--partitions", str(self.partitions)]
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                command, stdout=sink, stderr=sink, env={**os.environ, "OMP_NUM_THREADS": "1", **own}
            )
        return self

    def start(self) -> WorkerProcess:
        """Start and wait until it serves lists."""
        self.spawn()
        self.until(lambda: self.url is not None and is_ready(self.url), "ready", READY_WITHIN_S)
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str | None:
        note = read_note(self.state_dir if self.role == "graph" else self.state_dir / self.role)
        return str(note["url"]) if note and note["pid"] == self.pid else None

    def get(self, path: str) -> dict[str, Any]:
        assert self.url is not None, self.tail()
        return ask(self.url + path, timeout_s=30)

    def shard(self, partition: int = 0, *, digest: bool = False) -> dict[str, Any]:
        shards = self.get(f"/state?digest={int(digest)}")["shards"]
        return next((shard for shard in shards if shard["partition"] == partition), {"applied_offset": -2})

    def applied(self, partition: int = 0) -> int:
        """The applied offset; -2 while it cannot be told."""
        try:
            return int(self.shard(partition)["applied_offset"])
        except (WorkerUnreachable, AssertionError):
            return -2

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Wait for a condition with a deadline; the worker must stay alive."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, f"the worker ended ({self._process.returncode}): {self.tail()}"
            assert time.monotonic() < deadline, f"not {what} in {timeout_s} s: {self.tail()}"
            time.sleep(0.02)

    def until_applied(self, offset: int, partition: int = 0, timeout_s: float = 60.0) -> None:
        self.until(lambda: self.applied(partition) >= offset, f"at offset {offset}", timeout_s)

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Send a signal and wait; the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout_s)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for it to end by itself; the exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def tail(self, chars: int = 3_000) -> str:
        return self.log.read_text("utf-8", "replace")[-chars:]


@contextlib.contextmanager
def worker(
    broker: str, prefix: str, state_dir: Path, partitions: int = 1, **settings: object
) -> Iterator[WorkerProcess]:
    """Topics and a ready worker; killed at the end if it still runs."""
    create_topics(broker, prefix, partitions)
    process = WorkerProcess(broker, prefix, state_dir, partitions, **settings)
    try:
        yield process.start()
    finally:
        process.close()


@contextlib.contextmanager
def producer(broker: str) -> Iterator[KafkaProducer]:
    """A raw producer that can send anything."""
    client = KafkaProducer(bootstrap_servers=broker, max_request_size=16 * 1024 * 1024, acks="all", linger_ms=5)
    try:
        yield client
    finally:
        client.close()


def records(
    broker: str,
    topic: str,
    count: int,
    timeout_s: float = 30.0,
    where: Callable[[Record], bool] = lambda record: True,
) -> list[Record]:
    """At least `count` records of a topic (full name) for which `where` holds, waiting for them with a
    deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = [record for record in read_to_end(broker, topic) if where(record)]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} records in {topic} after {timeout_s} s"
        time.sleep(0.1)


def event(user: str, item: str, ts_ms: int, kind: str = "purchase", **more: object) -> dict[str, object]:
    """An interaction as a producer would build it."""
    return {"user_id": user, "item_id": item, "event_type": kind, "ts_ms": ts_ms, **more}


def keyed(message: Mapping[str, object]) -> bytes:
    return str(message["user_id"]).encode()
