"""LLM workers as processes, against a real broker and a real server: whatever the LLM does, jobs come to a good end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from llm_server import GOOD, LlmServer
from worker_process import READY_WITHIN_S, WorkerProcess, producer, records

from llm_workers.cache import AnswerCache
from streams.admin import create_topics
from streams.artefact_messages import ItemVector, LlmJob, PastEntry, Profile
from streams.codec import encode, job_id
from streams.consumer import Record, read_to_end
from streams.messages import DeadLetter, Horizon, ItemMessage
from streams.supervisor import is_ready

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000
ITEMS = [ItemMessage(item_id=f"i{n}", title=f"Green tea number {n}", brand="Acme") for n in range(5)]


def _job(user: str, offset: int = 0, **more: object) -> LlmJob:
    past = tuple(PastEntry(item_id=item.item_id, ts_ms=TS) for item in ITEMS)
    horizon = Horizon(ts_ms=TS + offset, offset=offset)
    fields = {"entity_id": user, "horizon": horizon, "events": 5, "past": past, **more}
    return LlmJob(job_id=job_id("profile", user, 0, offset), kind="profile", entity="user", **fields)  # type: ignore[arg-type]


def _publish(llm: WorkerProcess, *jobs: LlmJob, items: Sequence[ItemMessage] = ITEMS) -> None:
    """Items, and jobs once the worker knows them: topics have no order among each other."""
    with producer(llm.broker) as client:
        for item in items:
            client.send(f"{llm.prefix}items", encode(item), key=item.item_id.encode())
        client.flush()
        llm.until(lambda: llm.get("/state")["items"] == len(items), "aware of the items")
        for job in jobs:
            client.send(f"{llm.prefix}llm-jobs", encode(job), key=job.entity_id.encode())
        client.flush()


@contextmanager
def _llm_worker(
    broker: str, prefix: str, state_dir: Path, server: LlmServer | None, **more: object
) -> Iterator[WorkerProcess]:
    """A ready worker, whose endpoint is `server` if there is one."""
    create_topics(broker, prefix)
    settings: dict[str, object] = {"llm_concurrency": 8, **more}
    if server is not None:
        settings |= {"llm_producer": "endpoint", "llm_base_url": server.url, "llm_model": "small"}
    process = WorkerProcess(broker, prefix, state_dir, role="llm", **settings)
    try:
        process.spawn()
        process.until(lambda: process.url is not None, "serving", READY_WITHIN_S)
        process.until(lambda: bool(process.get("/state")["partitions"]), "given partitions")
        yield process
    finally:
        process.close()


def _profiles(found: list[Record]) -> list[Profile]:
    return [msgspec.json.decode(record.value or b"", type=Profile) for record in found]


def _sum(process: WorkerProcess, *names: str) -> int:
    jobs = process.get("/state")["jobs"]
    ended = jobs["profile"] | {"void": jobs["void"]}
    return sum(ended[name] for name in names)


def _committed(process: WorkerProcess) -> bool:
    return bool(process.get("/state")["jobs"]["open"] == 0)


def test_a_job_becomes_a_profile_with_facets_vectors_and_its_price(broker: str, prefix: str, tmp_path: Path) -> None:
    with LlmServer() as server, _llm_worker(broker, prefix, tmp_path, server) as llm:
        _publish(llm, _job("u"))
        (record, *_) = records(broker, f"{prefix}profiles", 1)
        (profile,) = _profiles([record])
        assert record.key == b"u"
        assert {name: list(getattr(profile, name)) for name in GOOD} == GOOD
        assert (profile.producer, profile.model_id, profile.events) == ("endpoint", "small", 5)
        assert profile.horizon == Horizon(ts_ms=TS, offset=0)
        assert profile.cost.prompt_tokens == 100
        assert profile.source_items == tuple(item.item_id for item in ITEMS)
        assert any(profile.vectors)
        ((question, _),) = server.asked.items()
        assert "Green tea number 3" in question
        vectors = records(broker, f"{prefix}item-vectors", 5)
        assert {msgspec.json.decode(one.value or b"", type=ItemVector).item_id for one in vectors} == {
            "i0",
            "i1",
            "i2",
            "i3",
            "i4",
        }
        state = llm.get("/state")
        assert state["endpoint"]["usage"]["profile"]["prompt_tokens"] == 100
        assert state["jobs"]["profile"]["published"] == 1
        assert is_ready(llm.url or "")


def test_a_worker_that_is_killed_gets_its_open_jobs_again_and_asks_for_nothing_twice(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with LlmServer(delay_s=30.0) as server, _llm_worker(broker, prefix, tmp_path, server) as llm:
        _publish(llm, *(_job(f"u{n}") for n in range(3)))
        llm.until(lambda: server.waiting == 1 or server.requests >= 1, "asking")
        llm.close()
        server.delay_s = 0.0
        llm.spawn()
        found = records(broker, f"{prefix}profiles", 3, timeout_s=60)
        assert {record.key for record in found} == {b"u0", b"u1", b"u2"}


def test_an_erasure_reaches_a_job_that_a_slow_llm_is_about_to_answer(broker: str, prefix: str, tmp_path: Path) -> None:
    with LlmServer(delay_s=3.0) as server, _llm_worker(broker, prefix, tmp_path, server) as llm:
        _publish(llm, _job("gone"), _job("stays", past=(PastEntry(item_id="i0", ts_ms=TS),)))
        llm.until(lambda: server.requests == 2, "asking")
        with producer(broker) as client:
            tombstone = client.send(f"{prefix}users", None, key=b"gone").get(30)
            # Asked for before the erasure, delivered after it.
            client.send(f"{prefix}llm-jobs", encode(_job("gone", offset=7)), key=b"gone").get(30)
        records(broker, f"{prefix}profiles", 1, where=lambda one: one.key == b"stays")
        # The later job is void if the tombstone was read before it, and taken off the bench if after.
        llm.until(lambda: _sum(llm, "void", "erased") == 2, "rid of both jobs")
        llm.until(lambda: _committed(llm), "done")
        time.sleep(3.5)  # an answer that was on its way when its user was erased has come by now
        of_user = [record for record in read_to_end(broker, f"{prefix}profiles") if record.key == b"gone"]
        assert [record.value for record in of_user] == [None]
        assert llm.end() == 0
        cache = AnswerCache(tmp_path / "llm" / "answers.sqlite", 2**20)
        assert (cache.forget_owner("gone"), cache.forget_owner("stays")) == (0, 1)
        cache.close()

        # The user comes back: a job that knows of the erasure is done.
        server.delay_s = 0.0
        llm.spawn()
        llm.until(lambda: llm.url is not None, "serving again", READY_WITHIN_S)
        with producer(broker) as client:
            again = _job("gone", offset=9, erasures=tombstone.offset)
            client.send(f"{prefix}llm-jobs", encode(again), key=b"gone").get(30)
        (back,) = records(
            broker, f"{prefix}profiles", 1, where=lambda one: one.key == b"gone" and one.value is not None, timeout_s=60
        )
        assert back.offset > of_user[0].offset


@pytest.mark.parametrize("what", ["garbage", "wrong key"])
def test_an_llm_that_is_no_use_is_made_up_for_by_counting(broker: str, prefix: str, tmp_path: Path, what: str) -> None:
    server = LlmServer(text="I am sorry, {as a") if what == "garbage" else LlmServer(status=401)
    with server, _llm_worker(broker, prefix, tmp_path, server) as llm:
        _publish(llm, *(_job(f"u{n}", past=(PastEntry(item_id=f"i{n}", ts_ms=TS),)) for n in range(5)))
        found = _profiles(records(broker, f"{prefix}profiles", 5, timeout_s=60))
        assert {(profile.producer, profile.brands) for profile in found} == {("statistical", ("Acme",))}
        if what == "wrong key":
            assert server.requests <= 5, "a wrong key is no reason for a storm"
            state = llm.get("/state")
            assert state["endpoint"]["breaker"] == "broken"
            assert "key" in state["not_ready"]
            assert not is_ready(llm.url or "")
        else:
            assert is_ready(llm.url or "")
        assert _committed(llm)


def test_an_llm_that_is_down_holds_jobs_until_it_is_back(broker: str, prefix: str, tmp_path: Path) -> None:
    settings = {"llm_attempts": 1, "llm_failures_to_open": 2, "llm_open_s": 1.0}
    with LlmServer(status=503) as server, _llm_worker(broker, prefix, tmp_path, server, **settings) as llm:
        _publish(llm, _job("u"))
        llm.until(lambda: server.requests >= 2, "refused twice")
        assert read_to_end(broker, f"{prefix}profiles") == []
        assert llm.get("/state")["jobs"]["open"] == 1
        server.status = 200
        (profile,) = _profiles(records(broker, f"{prefix}profiles", 1, timeout_s=60))
        assert profile.producer == "endpoint"


def test_records_that_are_no_jobs_become_dead_letters_and_block_nothing(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with _llm_worker(broker, prefix, tmp_path, None) as llm:
        with producer(broker) as client:
            client.send(f"{prefix}llm-jobs", b"{", key=b"u")
            client.send(f"{prefix}llm-jobs", encode(_job("u")), key=b"v")
            other = msgspec.structs.replace(_job("u"), kind="index")
            client.send(f"{prefix}llm-jobs", encode(other), key=b"u").get(30)
        _publish(llm, _job("u", past=()))
        (profile,) = _profiles(records(broker, f"{prefix}profiles", 1))
        assert (profile.producer, profile.brands) == ("statistical", ())
        letters = [
            msgspec.json.decode(one.value or b"", type=DeadLetter)
            for one in records(broker, f"{prefix}dead-letters", 3)
        ]
        assert Counter(letter.code for letter in letters) == {"not_json": 1, "key_mismatch": 1, "unknown_kind": 1}


def test_two_workers_share_the_jobs_each_of_which_is_done_once(broker: str, prefix: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(LlmServer())
        first = stack.enter_context(_llm_worker(broker, prefix, tmp_path / "1", server))
        second = stack.enter_context(_llm_worker(broker, prefix, tmp_path / "2", server))
        first.until(lambda: len(first.get("/state")["partitions"]) == 2, "owner of half", 90)
        jobs = [_job(f"u{n}", past=(PastEntry(item_id=f"i{n}", ts_ms=TS),)) for n in range(40)]
        items = [ItemMessage(item_id=f"i{n}", title=f"Tea {n}") for n in range(40)]
        _publish(first, items=items)
        second.until(lambda: second.get("/state")["items"] == len(items), "aware of the items")
        _publish(first, *jobs, items=items)
        found = records(broker, f"{prefix}profiles", 40)
        assert Counter(record.key for record in found) == {job.entity_id.encode(): 1 for job in jobs}
        shares = [worker.get("/state")["jobs"]["profile"]["published"] for worker in (first, second)]
        assert sum(shares) == 40
        assert min(shares) >= 5, shares
