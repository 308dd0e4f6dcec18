"""The demo is the front door: it must work, and show what it says it shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_demo_shows_a_list_that_changed_after_one_event(tmp_path: Path) -> None:
    figures, picture = tmp_path / "demo.json", tmp_path / "demo.svg"
    command = [sys.executable, "-m", "evergraph", "demo", "--events", "3000"]
    subprocess.run([*command, "--json", str(figures), "--picture", str(picture)], check=True, capture_output=True)
    shown = json.loads(figures.read_text())
    assert shown["events"] == 3_000
    assert shown["events_per_s"] > 0
    assert 0 < shown["publish_to_list_ms"] < 20_000
    assert len(shown["before"]) == len(shown["after"]) == 10
    assert [item["item_id"] for item in shown["before"]] != [item["item_id"] for item in shown["after"]]
    assert all(item["reasons"] for item in shown["after"])
    for metric in ("hr@10", "ndcg@10"):
        assert set(shown[metric]) == {"evergraph", "popularity", "decayed_popularity"}
    assert "<svg" in picture.read_text()


@pytest.mark.parametrize("events", ["0", "many", "999999999"])
def test_an_impossible_number_of_events_is_one_line_and_code_2(events: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evergraph", "demo", "--events", events], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --events {events}: ")
    assert len(done.stderr.splitlines()) == 1
