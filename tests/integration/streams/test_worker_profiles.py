"""The graph worker's end of the LLM layer: jobs out, profiles and vectors in, and nothing left after an erasure."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from worker_process import WorkerProcess, event, keyed, producer, records, worker

from streams.artefact_messages import ItemVector, LlmJob, Profile
from streams.cli.recommend import WorkerUnreachable
from streams.codec import encode, job_id
from streams.messages import DeadLetter

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000
WIDTH = 384


def _job(value: bytes | None) -> LlmJob:
    return msgspec.json.decode(value or b"", type=LlmJob)


def _profile(job: LlmJob, phrase: str) -> Profile:
    rows = np.zeros((4, WIDTH), "<f2")
    rows[2, 0] = 1.0
    return Profile(
        entity_id=job.entity_id,
        version=job.horizon.offset + 1,
        horizon=job.horizon,
        producer="statistical",
        model_id="counts",
        prompt_version="none",
        created_at_ms=TS,
        events=job.events,
        categories=(phrase,),
        vectors=rows.tobytes(),
        vector_model="test",
        vector_width=WIDTH,
        erasures=job.erasures,
    )


def _has_profile(graph: WorkerProcess, user: str) -> bool:
    try:
        return bool(graph.get(f"/users/{user}/profile"))
    except WorkerUnreachable as missing:
        assert "no profile" in str(missing)
        return False


def test_jobs_go_out_profiles_come_in_and_an_erasure_takes_them_back(broker: str, prefix: str, tmp_path: Path) -> None:
    with worker(broker, prefix, tmp_path, refresh_jobs_per_1000=1_000) as graph, producer(broker) as client:
        for place, item in enumerate(("tea", "cup", "pot", "jug")):
            message = event("u", item, TS + 1_000 * place)
            last = client.send(f"{prefix}interactions", msgspec.json.encode(message), key=keyed(message)).get(30)
        graph.until_applied(last.offset)
        (record, *_) = records(broker, f"{prefix}llm-jobs", 1)
        job = _job(record.value)
        assert (job.kind, job.entity, job.entity_id, record.key) == ("profile", "user", "u", b"u")
        assert job.job_id == job_id("profile", "u", 0, job.horizon.offset)
        assert [entry.item_id for entry in job.past] == ["tea", "cup", "pot", "jug"][: job.events]
        assert job.erasures == -1

        assert not _has_profile(graph, "u")
        client.send(f"{prefix}profiles", encode(_profile(job, "tea things")), key=b"u")
        vector = ItemVector(item_id="tea", model_id="test", text_hash="ab", vector=bytes(2 * WIDTH))
        client.send(f"{prefix}item-vectors", encode(vector), key=b"tea")
        client.send(f"{prefix}profiles", b'{"entity_id": "u"}', key=b"u")
        client.send(f"{prefix}profiles", encode(_profile(job, "of another")), key=b"v")
        client.send(f"{prefix}item-vectors", b"\xff", key=b"cup").get(30)
        graph.until(lambda: _has_profile(graph, "u"), "given a profile")
        shown = graph.get("/users/u/profile")
        assert shown["facets"]["categories"] == ["tea things"]
        assert shown["horizon"] == {"ts_ms": job.horizon.ts_ms, "offset": job.horizon.offset}
        letters = [
            msgspec.json.decode(one.value or b"", type=DeadLetter)
            for one in records(broker, f"{prefix}dead-letters", 3)
        ]
        assert {(letter.source_topic.removeprefix(prefix), letter.code) for letter in letters} == {
            ("profiles", "missing_field"),
            ("profiles", "key_mismatch"),
            ("item-vectors", "not_json"),
        }
        state = graph.get("/state")
        assert state["artefacts"] == {"profiles": 1, "item-vectors": 1}
        assert state["counters"]["llm_jobs"] >= 1
        assert state["shards"][0]["profiles"]["profiles"] == 1

        client.send(f"{prefix}users", None, key=b"u").get(30)
        graph.until(lambda: not _has_profile(graph, "u"), "without the profile")
        (gone,) = records(broker, f"{prefix}profiles", 1, where=lambda one: one.value is None)
        assert gone.key == b"u"

        # What was made from before the erasure, and comes late, is void; what comes after it counts.
        for place in range(4):
            message = event("u", f"new-{place}", TS + 100_000 * (1 + place))
            last = client.send(f"{prefix}interactions", msgspec.json.encode(message), key=b"u").get(30)
        graph.until_applied(last.offset)
        client.send(f"{prefix}profiles", encode(_profile(job, "tea things")), key=b"u").get(30)
        later = records(broker, f"{prefix}llm-jobs", 1, where=lambda one: _job(one.value).erasures >= 0)
        client.send(f"{prefix}profiles", encode(_profile(_job(later[-1].value), "new things")), key=b"u").get(30)
        graph.until(lambda: _has_profile(graph, "u"), "given the new profile")
        assert graph.get("/users/u/profile")["facets"]["categories"] == ["new things"]
        assert "tea" not in {entry.item_id for entry in _job(later[-1].value).past}


def test_a_shard_that_starts_from_nothing_learns_the_profiles_that_there_are(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with worker(broker, prefix, tmp_path / "first", refresh_jobs_per_1000=1_000) as graph, producer(broker) as client:
        for place in range(4):
            message = event("u", f"item-{place}", TS + 1_000 * place)
            client.send(f"{prefix}interactions", msgspec.json.encode(message), key=b"u").get(30)
        (record, *_) = records(broker, f"{prefix}llm-jobs", 1)
        client.send(f"{prefix}profiles", encode(_profile(_job(record.value), "tea things")), key=b"u").get(30)
        graph.until(lambda: _has_profile(graph, "u"), "given a profile")
        assert graph.end() == 0
        client.send(f"{prefix}users", None, key=b"erased while nobody worked").get(30)
    again = WorkerProcess(broker, prefix, tmp_path / "second")
    try:
        again.start()
        again.until(lambda: _has_profile(again, "u"), "given the profile again")
        (gone,) = records(broker, f"{prefix}profiles", 1, where=lambda one: one.value is None)
        assert gone.key == b"erased while nobody worked"
    finally:
        again.close()
