"""What a newcomer does first: start everything, publish a file, look at a list, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.supervisor import is_ready
from streams.worker.note import read_note

pytestmark = pytest.mark.slow

TS = 1_700_000_000


class _Up:
    """`evergraph up` in a process of its own."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.output = state_dir / "up.log"
        state_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "evergraph", "up", "--state-dir", str(state_dir), "--http-port", "0"]
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen([*command, "--clock", "log"], stdout=sink, stderr=sink)

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, f"not {what}: {self.output.read_text()}"
            time.sleep(0.05)

    @property
    def worker_pid(self) -> int:
        note = read_note(self.state_dir)
        return int(note["pid"]) if note else 0

    def ready(self) -> bool:
        note = read_note(self.state_dir)
        return note is not None and is_ready(str(note["url"]))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[_Up]:
    running = _Up(tmp_path / "state")
    try:
        running.until(running.ready, "ready")
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def _evergraph(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evergraph", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_up_publish_recommend_and_one_interrupt_that_stops_all(up: _Up, tmp_path: Path) -> None:
    rows = [f"user-{place % 20},item-{place % 7},{TS + place}" for place in range(400)]
    data = tmp_path / "log.csv"
    data.write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    note = read_note(up.state_dir)
    assert note is not None
    published = _evergraph("publish", str(data), "--broker", str(note["broker"]))
    assert published.returncode == 0, published.stderr

    figures = tmp_path / "list.json"
    arguments = ("recommend", "user-3", "--k", "3", "--state-dir", str(up.state_dir), "--json", str(figures))
    up.until(
        lambda: _evergraph(*arguments).returncode == 0 and bool(json.loads(figures.read_text())["items"]), "listed"
    )
    shown = _evergraph(*arguments)
    assert "for user-3" in shown.stdout
    answer = json.loads(figures.read_text())
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]
    assert all(item["reasons"] for item in answer["items"])

    worker, broker = up.worker_pid, str(note["broker"])
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0, up.output.read_text()
    assert not Path(f"/proc/{worker}").exists() or not Path("/proc").exists()
    assert not (up.state_dir / "worker.json").exists()
    gone = _evergraph("recommend", "user-3", "--state-dir", str(up.state_dir), "--url", "http://127.0.0.1:9")
    assert gone.returncode == 2
    assert "no worker answers" in gone.stderr
    assert broker


def test_a_worker_that_is_killed_is_started_again(up: _Up) -> None:
    before = up.worker_pid
    os.kill(before, signal.SIGKILL)
    up.until(lambda: up.worker_pid not in (0, before) and up.ready(), "started again")
    assert "starting it again" in up.output.read_text()
