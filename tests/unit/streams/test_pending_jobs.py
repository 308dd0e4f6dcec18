"""Which jobs of `llm-jobs` a batch is made of."""

from __future__ import annotations

from streams.artefact_messages import LlmJob
from streams.codec import encode, job_id
from streams.consumer import Record
from streams.llm.requests import newest_jobs
from streams.messages import Horizon


def job(user: str, ts: int, kind: str = "reasoning", erasures: int = -1) -> LlmJob:
    horizon = Horizon(ts_ms=ts, offset=ts)
    return LlmJob(
        job_id=job_id(kind, user, 0, ts), kind=kind, entity_id=user, entity="user", horizon=horizon, erasures=erasures
    )  # type: ignore[call-arg]


def recorded(*jobs: LlmJob | bytes) -> list[Record]:
    values = [one if isinstance(one, bytes) else encode(one) for one in jobs]
    return [Record(0, offset, 0, b"key", value) for offset, value in enumerate(values)]


def test_the_newest_job_of_each_user_and_kind_counts_in_the_order_of_the_topic() -> None:
    jobs = [
        job("anna", 1),
        job("berta", 5),
        job("anna", 3),
        job("anna", 2),
        job("berta", 9, "profile"),
        job("berta", 5),
    ]
    found = newest_jobs(recorded(*jobs), "reasoning", {})
    assert [(one.entity_id, one.horizon.ts_ms) for one in found] == [("anna", 3), ("berta", 5)]
    assert [one.entity_id for one in newest_jobs(recorded(*jobs[::-1]), "reasoning", {})] == ["anna", "berta"]
    assert [one.kind for one in newest_jobs(recorded(*jobs), "profile", {})] == ["profile"]


def test_jobs_from_before_an_erasure_and_what_is_no_job_are_left_out() -> None:
    records = recorded(job("anna", 1), b"no JSON", job("berta", 2, erasures=4), job("clara", 3, erasures=5))
    found = newest_jobs(records, "reasoning", {"anna": 0, "berta": 5, "clara": 5})
    assert [one.entity_id for one in found] == ["clara"]
