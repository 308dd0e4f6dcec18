"""Compiled code is only faster: interpreted, it gives the very same ranks and lists."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from small_coded import drawn

from evaluation.protocols import Plan
from evaluation.protocols.prequential import prequential
from models.baselines import build_baseline


def digest() -> str:
    """Of ranks and lists of every simple baseline on a small log."""
    log, parts = drawn(250), hashlib.sha256()
    for name in ("popularity", "decayed-popularity", "own", "cooccurrence", "markov", "blend"):
        outcome = prequential(log, lambda name=name: build_baseline(name), Plan(mask_seen=name == "blend"))  # type: ignore[misc]
        parts.update(outcome.rank.tobytes() + outcome.top.tobytes())
    return parts.hexdigest()


def test_interpreted_baselines_and_ranks_equal_compiled_ones() -> None:
    interpreted = subprocess.run(
        [sys.executable, "-c", "import test_without_compiling as here; print(here.digest())"],
        cwd=Path(__file__).parent,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert interpreted.stdout.strip() == digest()
