"""Rolling figures equal the plain metrics of the last N targets, however the batches fell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import figures
from evaluation.rolling import RollingMetrics

RANKS = st.one_of(st.just(math.nan), st.just(math.inf), st.floats(1, 40))


@given(st.lists(st.lists(RANKS, max_size=9), max_size=8), st.integers(1, 12))
def test_figures_are_those_of_the_last_targets(batches: list[list[float]], window: int) -> None:
    lately = RollingMetrics(window=window)
    for batch in batches:
        lately.update({"evergraph": np.array(batch)})
    targets = [rank for batch in batches for rank in batch if not math.isnan(rank)]
    if batches:
        expected = figures(np.array(targets[-window:]))
        assert lately.figures()["evergraph"] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        assert lately.targets() == {"evergraph": len(targets)}


def test_models_are_kept_apart_and_may_come_later() -> None:
    lately = RollingMetrics(window=10)
    lately.update({"popularity": np.array([20.0])})
    lately.update({"popularity": np.array([20.0]), "evergraph": np.array([1.0])})
    assert lately.figures()["popularity"]["hr@10"] == 0.0
    assert lately.figures()["evergraph"]["hr@10"] == 1.0


def test_a_long_run_does_not_drift() -> None:
    lately, rng = RollingMetrics(window=100), np.random.default_rng(0)
    ranks = rng.integers(1, 200, 20_000).astype(float)
    for batch in np.split(ranks, 200):
        lately.update({"evergraph": batch})
    assert lately.figures()["evergraph"] == pytest.approx(figures(ranks[-100:]), abs=1e-9)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        RollingMetrics(window=0)
