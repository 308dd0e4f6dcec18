"""Simple scorers are what a plain reading of their rules gives, and reach the figures known of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from small_edges import EDGES, N_ITEMS, N_USERS

from evaluation.link_prediction import LinkReport, feed, rank, report, time_split
from evaluation.link_scorers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SIMPLE_SCORERS,
    EdgeBank,
    Popularity,
    Recency,
    Tiers,
)
from evaluation.readers.edges import EdgeLog, read_edges

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("EVERGRAPH_DATA", ROOT.parent / "shared" / "data"))

Event = tuple[int, int, int]


def decayed(times: list[int], now: int, half_life: float) -> float:
    return sum(2.0 ** ((ts - now) / half_life) for ts in times)


def events_of(log: EdgeLog) -> list[Event]:
    return list(zip(log.users.tolist(), log.items.tolist(), log.ts.tolist(), strict=True))


def asked(scorer: object, log: EdgeLog, later: int) -> tuple[np.ndarray, int]:
    """Scores of all users some time after the log, which was taken in two batches."""
    feed(scorer, log, 0, len(log), len(log) // 2 + 1)  # type: ignore[arg-type]
    now = int(log.ts[-1]) + later
    users = np.arange(N_USERS)
    scores = scorer.scores(users, np.full(N_USERS, now), np.full(N_USERS, len(log)))  # type: ignore[attr-defined]
    return scores, now


@given(EDGES)
def test_popularity_is_the_logarithm_of_the_decayed_count(log: EdgeLog) -> None:
    for half_life in (float("inf"), 10 * MINUTE_MS):
        scores, now = asked(Popularity(N_ITEMS, half_life), log, 60_000)
        for item in range(N_ITEMS):
            times = [ts for _, other, ts in events_of(log) if other == item]
            count = decayed(times, now, half_life)
            if not times:
                assert (scores[:, item] == -1e6).all()
            elif count > 1e-300:
                np.testing.assert_allclose(scores[:, item], np.log2(count), atol=1e-6)


@given(EDGES)
def test_edgebank_knows_pairs_and_breaks_ties_by_popularity(log: EdgeLog) -> None:
    plain, _ = asked(EdgeBank(N_USERS, N_ITEMS), log, 0)
    ordered, _ = asked(EdgeBank(N_USERS, N_ITEMS, ties_by_popularity=True), log, 0)
    pairs = {(user, item) for user, item, _ in events_of(log)}
    counts = [sum(item == other for _, other, _ in events_of(log)) for item in range(N_ITEMS)]
    for user in range(N_USERS):
        assert plain[user].tolist() == [float((user, item) in pairs) for item in range(N_ITEMS)]
        keys = [((user, item) in pairs, counts[item]) for item in range(N_ITEMS)]
        assert same_order(ordered[user], keys)


@given(EDGES)
def test_tiers_put_own_items_first_by_decayed_count(log: EdgeLog) -> None:
    scores, now = asked(Tiers(N_USERS, N_ITEMS, HOUR_MS, DAY_MS), log, 1)
    for user in range(N_USERS):
        keys = []
        for item in range(N_ITEMS):
            own = [ts for who, what, ts in events_of(log) if (who, what) == (user, item)]
            every = [ts for _, what, ts in events_of(log) if what == item]
            # A sum of powers of two over 40 events at most: rounding cannot change an order that is not a tie.
            keys.append((bool(own), round(decayed(own, now, HOUR_MS), 12) if own else decayed(every, now, DAY_MS)))
        assert same_order(scores[user], keys, tolerance=1e-9)


@given(EDGES)
def test_recency_puts_the_latest_own_item_first(log: EdgeLog) -> None:
    scores, _ = asked(Recency(N_USERS, N_ITEMS), log, 1)
    for user in range(N_USERS):
        own = [item for who, item, _ in events_of(log) if who == user]
        latest = list(dict.fromkeys(reversed(own)))
        order = np.argsort(-scores[user], kind="stable").tolist()
        assert order[: len(latest)] == latest


def same_order(scores: np.ndarray, keys: list[tuple[bool, float]], tolerance: float = 0.0) -> bool:
    """Whether scores order items as keys do, wherever keys differ clearly."""
    for left, a in zip(scores.tolist(), keys, strict=True):
        for right, b in zip(scores.tolist(), keys, strict=True):
            clear = a[0] > b[0] or (a[0] == b[0] and a[1] > b[1] * (1 + tolerance) + tolerance * 1e-3)
            if clear and not left > right:
                return False
    return True


@pytest.fixture(scope="module")
def wikipedia() -> EdgeLog:
    path = DATA / "ctdg-wikipedia" / "ml_wikipedia.txt.gz"
    if not path.exists():
        pytest.skip(f"ctdg-wikipedia is not under {DATA}; set EVERGRAPH_DATA to the folder that holds it")
    return read_edges(path)


def measured(log: EdgeLog, name: str, batch: int) -> LinkReport:
    split = time_split(log)
    scorer = SIMPLE_SCORERS[name](log.n_users, log.n_items)
    feed(scorer, log, 0, split.validation, 200)
    return report(rank(scorer, log, split.validation, split.end, batch), log, split.validation, batch)


def test_the_real_graph_reads_straight(wikipedia: EdgeLog) -> None:
    assert (len(wikipedia), wikipedia.n_users, wikipedia.n_items) == (157_474, 8_227, 1_000)
    assert int(wikipedia.ts[-1]) == 2_678_373_000
    assert wikipedia.features.shape == (157_474, 0)


# Independently measured on the same protocol; a difference is a bug on one side.
KNOWN = [
    ("popularity", 200, 0.0393, 0.0338),
    ("decayed-popularity", 200, 0.0997, 0.0547),
    ("edgebank", 200, 0.4947, None),
    ("edgebank-popularity", 200, 0.5597, 0.0227),
    ("tiers", 200, 0.7345, 0.0349),
    ("edgebank-popularity", 1, 0.5924, None),
    ("recency", 1, 0.8209, None),
    ("decayed-popularity", 1, 0.1971, 0.0712),
]


@pytest.mark.parametrize(("name", "batch", "mrr", "first_time_mrr"), KNOWN)
def test_known_figures_on_the_real_graph_are_met(
    wikipedia: EdgeLog, name: str, batch: int, mrr: float, first_time_mrr: float | None
) -> None:
    it = measured(wikipedia, name, batch)
    assert (it.events, it.first_time_events) == (23_621, 2_544)
    assert it.mrr == pytest.approx(mrr, rel=0.01)
    if first_time_mrr is not None:
        assert it.first_time_mrr == pytest.approx(first_time_mrr, rel=0.01)
