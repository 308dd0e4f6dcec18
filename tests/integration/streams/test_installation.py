"""An installation with a trainer: both processes are started, and losing the trainer costs nothing but freshness."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker
from streams.settings import Settings, load_settings
from streams.supervisor import Installation, WorkerGone

pytestmark = pytest.mark.slow


def settings(broker: EmbeddedBroker, prefix: str, folder: Path, **more: object) -> Settings:
    known = {"broker": broker.address, "prefix": prefix, "state_dir": folder, "http_port": 0, "learner": "trainer"}
    return load_settings({**known, **more}, env={})


def until(up: Installation, condition: Callable[[], bool], what: str) -> None:
    pause, deadline = threading.Event(), time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        up.check()
        pause.wait(0.05)


def test_a_killed_trainer_is_started_again_and_the_worker_stays(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    told: list[str] = []
    with Installation(settings(embedded_broker, prefix, tmp_path), tell=told.append) as up:
        up.wait_ready()
        worker, trainer = up.worker_pid, up.trainer_pid
        assert worker
        assert trainer
        os.kill(trainer, signal.SIGKILL)
        until(up, lambda: up.trainer_pid not in (None, trainer), "started again")
        assert up.worker_pid == worker
        assert "the trainer ended with code -9; starting it again" in told[0]
    assert up.trainer_pid is None
    assert up.worker_pid is None


def test_a_trainer_that_cannot_start_is_told_and_done_without(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    told: list[str] = []
    with Installation(settings(embedded_broker, prefix, tmp_path), tell=told.append) as up:
        up.wait_ready()
        worker, trainer = up.worker_pid, up.trainer_pid
        assert trainer
        os.kill(trainer, signal.SIGTERM)
        until(up, lambda: up.trainer_pid is None and bool(told), "told")
        assert told == ["the trainer was stopped from outside; lists go on with the weights it handed over last"]
        assert up.worker_pid == worker


def test_without_a_trainer_none_is_started(embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> None:
    with Installation(settings(embedded_broker, prefix, tmp_path, learner="inline")) as up:
        up.wait_ready()
        assert up.trainer_pid is None
        assert up.worker_pid
        os.kill(up.worker_pid, signal.SIGTERM)
        with pytest.raises(WorkerGone, match="the worker was stopped from outside"):
            until(up, lambda: False, "noticed")
