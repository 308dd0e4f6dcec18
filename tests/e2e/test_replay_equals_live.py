"""What runs live and what is replayed from a file is the same: one digest says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from worker_process import worker

from evaluation.readers import bundled_path, read_log
from streams.producer import publish_log

pytestmark = pytest.mark.slow

EVENTS = 2_500


def _replay(folder: Path, *options: str) -> dict[str, object]:
    figures = folder / "replay.json"
    command = [sys.executable, "-m", "evergraph", "replay", "bundled", "--limit", str(EVENTS), *options]
    subprocess.run([*command, "--json", str(figures)], check=True, capture_output=True)
    answer: dict[str, object] = json.loads(figures.read_text())
    return answer


def test_a_replay_along_a_live_workers_journal_ends_in_the_workers_state(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    log = read_log(bundled_path()).head(EVENTS)
    with worker(broker, prefix, tmp_path / "state", snapshot_events=700, allowed_lateness_ms=10**12) as live:
        publish_log(log, broker, prefix, rate=1_500)
        live.until_applied(EVENTS - 1)
        digest = live.shard(digest=True)["digest"]
        live.end(signal.SIGKILL)
    assert _replay(tmp_path, "--journal", str(tmp_path / "state"))["digest"] == digest


def test_live_goes_on_from_a_replayed_snapshot(broker: str, prefix: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    digest = _replay(tmp_path, "--snapshot", str(state))["digest"]
    assert digest
    log = read_log(bundled_path())
    with worker(broker, prefix, state, allowed_lateness_ms=10**12) as live:
        shard = live.shard()
        assert (shard["events"], shard["applied_offset"]) == (EVENTS, -1)
        publish_log(type(log)("rest", log.frame[EVENTS : EVENTS + 300], log.items), broker, prefix)
        live.until_applied(299)
        assert live.shard()["events"] == EVENTS + 300
