"""The ablation's rows walk one log together, each as if it walked alone; and jobs recorded beforehand fit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dyngraph.events import Item
from evaluation.coded import coded
from evaluation.profiles.jobs import jobs_along
from evaluation.profiles.rows import ROWS, default_rows, row_names
from evaluation.profiles.walk import run_rows
from evaluation.protocols.plan import Plan
from evaluation.readers.log import InteractionLog
from llm_workers.protocols import Facets, LlmError, ProducedProfile, ProducerName, ProfileRequest

PLAN = Plan(mask_seen=True, cold_item_events=3)


class Noting:
    """Makes a profile out of the newest title, and notes what it was asked."""

    name: ProducerName = "endpoint"

    def __init__(self, every: int = 1) -> None:
        self.asked: list[ProfileRequest] = []
        self._every = every

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        self.asked.append(request)
        if len(self.asked) % self._every:
            raise LlmError("not_recorded", "nobody has answered this", retry=False)
        return ProducedProfile(Facets(interests=(request.past[-1].title,)), "endpoint", "big", "profile.v1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def log() -> InteractionLog:
    rng = np.random.default_rng(0)
    n, items = 400, 40
    users = rng.integers(0, 9, n)
    # Each user keeps to one kind of thing.
    chosen = (rng.integers(0, items // 4, n) * 4 + users % 4).astype(int)
    frame = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in chosen],
            "event_type": pl.Series([4] * n, dtype=pl.Int8),
            "ts": 1_700_000_000_000 + 3_600_000 * np.arange(n),
            "value": pl.Series([None] * n, dtype=pl.Float64),
        }
    )
    kinds = ("red nail polish", "garden hose", "jazz record", "dog food")
    described = [Item(f"i{n}", f"{kinds[n % 4]} {n}", f"brand {n % 4}", (kinds[n % 4],)) for n in range(items)]
    return InteractionLog("small", frame, described)


def test_a_row_among_others_is_the_row_alone(log: InteractionLog) -> None:
    walked = coded(log)
    names = ["tgn", "dynllm", "dynllm, mean", "dynllm, random vectors"]
    together = run_rows(names, log, walked, PLAN, lambda done, figures: None, batch=16)
    for name, outcome in zip(names, together, strict=True):
        (alone,) = run_rows([name], log, walked, PLAN, lambda done, figures: None, batch=16)
        assert (alone.rank == outcome.rank).all() and (alone.top == outcome.top).all(), name
    tgn, dynllm = together[0].rank, together[1].rank
    assert np.isfinite(dynllm).any() and not (tgn == dynllm).all()
    assert (np.isfinite(tgn) == np.isfinite(dynllm)).all()


def test_jobs_recorded_beforehand_are_those_of_the_ablation(log: InteractionLog) -> None:
    walked, noting = coded(log), Noting()
    recorded = list(jobs_along(log, walked, 16))
    run_rows(
        ["dynllm, recorded facets"], log, walked, PLAN, lambda done, figures: None, batch=16,
        producers={"recorded": noting},
    )  # fmt: skip
    assert len(recorded) > 50
    assert noting.asked == recorded
    assert all(past.ts <= request.ts for request in recorded for past in request.past)


def test_answers_that_are_missing_leave_a_row_without_those_profiles(log: InteractionLog) -> None:
    walked = coded(log)
    (outcome,) = run_rows(
        ["dynllm, recorded facets"], log, walked, PLAN, lambda done, figures: None, batch=16,
        producers={"recorded": Noting(every=10**9)},
    )  # fmt: skip
    (none,) = run_rows(["dynllm, no profile"], log, walked, PLAN, lambda done, figures: None, batch=16)
    close = np.isclose(outcome.rank, none.rank) | (np.isinf(outcome.rank) & np.isinf(none.rank))
    assert close.mean() > 0.95, "null facets stand in for both; only unused weights differ"


def test_a_protocol_without_an_order_of_events_is_refused(log: InteractionLog) -> None:
    with pytest.raises(ValueError, match="no order of events"):
        run_rows(["tgn"], log, coded(log), Plan("leave-one-out"), lambda done, figures: None, batch=16)


def test_rows_that_need_a_language_model_are_not_run_unasked() -> None:
    left_out = set(row_names()) - set(default_rows())
    assert left_out == {name for name, row in ROWS.items() if row.maker != "statistical" or row.vectors == "hidden"}
