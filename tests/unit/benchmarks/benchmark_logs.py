"""Where the benchmarks lie, and a small log for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluation.readers.edges import EdgeLog

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


def small_log(n: int = 300, features: int = 0) -> EdgeLog:
    """``n`` edges of 20 users and 10 items."""
    random = np.random.default_rng(0)
    return EdgeLog(
        "small",
        users=random.integers(20, size=n),
        items=random.integers(10, size=n),
        ts=random.integers(0, 5_000, size=n).cumsum(),
        seq=np.arange(n, dtype=np.int64),
        features=random.standard_normal((n, features), dtype=np.float32),
        user_ids=np.arange(20),
        item_ids=np.arange(10),
    )
