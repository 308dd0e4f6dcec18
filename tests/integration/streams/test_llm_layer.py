"""The LLM layer whole: events in, a profile out of a language model or a batch, and lists that go on meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from llm_server import GOOD, LlmServer
from worker_process import READY_WITHIN_S, WorkerProcess, event, keyed, producer, records, worker

from streams.broker import EmbeddedBroker
from streams.cli.recommend import WorkerUnreachable

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000
TITLES = {"tea": "Green tea", "cup": "Tea cup", "pot": "Tea pot", "jug": "Milk jug"}


def _evergraph(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evergraph", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _has_profile(graph: WorkerProcess, user: str) -> bool:
    try:
        return bool(graph.get(f"/users/{user}/profile"))
    except WorkerUnreachable:
        return False


def _shop(graph: WorkerProcess, user: str) -> None:
    """Items, and events of a user with them."""
    with producer(graph.broker) as client:
        for item, title in TITLES.items():
            body = {"item_id": item, "title": title, "brand": "Acme"}
            client.send(f"{graph.prefix}items", msgspec.json.encode(body), key=item.encode()).get(30)
        graph.until(lambda: graph.get("/state")["catalogue"] >= len(TITLES), "aware of the items")
        for place, item in enumerate(TITLES):
            message = event(user, item, TS + 1_000 * place)
            last = client.send(f"{graph.prefix}interactions", msgspec.json.encode(message), key=keyed(message)).get(30)
    graph.until_applied(last.offset)


def test_what_a_user_does_becomes_a_profile_while_lists_do_not_wait_for_it(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with LlmServer(delay_s=2.0) as server, worker(broker, prefix, tmp_path, refresh_jobs_per_1000=1_000) as graph:
        settings = {"llm_producer": "endpoint", "llm_base_url": server.url, "llm_model": "small"}
        llm = WorkerProcess(broker, prefix, tmp_path, role="llm", **settings)
        try:
            llm.spawn()
            llm.until(lambda: llm.url is not None, "serving", READY_WITHIN_S)
            _shop(graph, "u")
            assert records(broker, f"{prefix}recommendations", 1, where=lambda one: one.key == b"u")
            llm.until(lambda: _has_profile(graph, "u"), "profiled")
            shown = graph.get("/users/u/profile")
            assert {name: list(phrases) for name, phrases in shown["facets"].items()} == GOOD
            assert shown["producer"] == "endpoint"
            assert shown["has_vectors"]
            state = graph.get("/state")
            assert state["counters"]["llm_jobs"] >= 1
            assert state["shards"][0]["profiles"]["refused"].get("unfit", 0) == 0
            assert graph.get("/lists/u?k=2")["items"]
            llm.until(lambda: graph.get("/state")["artefacts"].get("item-vectors", 0) >= len(TITLES), "given vectors")
        finally:
            llm.close()


def test_a_batch_of_answers_serves_a_worker_that_can_reach_no_llm(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    broker = embedded_broker.address
    jobs, answers = tmp_path / "jobs.jsonl", tmp_path / "answers.jsonl"
    here = ("--state-dir", tmp_path)
    with worker(broker, prefix, tmp_path, refresh_jobs_per_1000=1_000) as graph:
        _shop(graph, "u")
        records(broker, f"{prefix}llm-jobs", 1)
        export = ("llm", "export-jobs", "--out", jobs, "--model", "big", "--broker", broker, "--prefix", prefix, *here)
        done = _evergraph(*export)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("1 prompts to")
        (line,) = map(json.loads, jobs.read_text().splitlines())
        assert line["method"] == "POST"
        assert "Green tea" in json.dumps(line["body"])

        choice = {"message": {"role": "assistant", "content": json.dumps(GOOD)}}
        good = {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": {"choices": [choice]}}}
        answers.write_text("\n".join(["no JSON", json.dumps(good)]) + "\n")
        done = _evergraph("llm", "import-answers", answers, *here)
        assert done.returncode == 0, done.stderr
        assert "1 answers kept" in done.stdout
        assert "line 1" in done.stderr
        assert _evergraph(*export).stdout.startswith("0 prompts")
        assert "1 entries" in _evergraph("llm", "cache", *here).stdout

        settings = {"llm_producer": "endpoint", "llm_base_url": "http://127.0.0.1:9/v1", "llm_model": "big"}
        llm = WorkerProcess(broker, prefix, tmp_path, role="llm", **settings)
        try:
            llm.spawn()
            llm.until(lambda: _has_profile(graph, "u"), "profiled", READY_WITHIN_S)
            assert graph.get("/users/u/profile")["facets"]["categories"] == GOOD["categories"]
            assert graph.get("/users/u/profile")["model_id"] == "big"
            assert llm.end() == 0
        finally:
            llm.close()
        assert _evergraph("llm", "cache", "--forget", "u", *here).stdout.startswith("1 entries of u erased")
        assert "0 prompts wait" in _evergraph("llm", "cache", *here).stdout


def test_prompts_of_a_replay_are_exported(tmp_path: Path) -> None:
    rows = [f"user-{place % 3},item-{place},{TS // 1000 + place},a thing {place}" for place in range(60)]
    log, out = tmp_path / "log.csv", tmp_path / "jobs.jsonl"
    log.write_text("\n".join(["user_id,item_id,timestamp,title", *rows]))
    done = _evergraph(
        "llm", "export-jobs", "--data", log, "--batch", "16", "--model", "big", "--out", out, "--state-dir", tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) > 6 and {line["body"]["model"] for line in lines} == {"big"}
    assert "a thing" in lines[0]["body"]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("llm", "export-jobs", "--out", "x", "--broker", "127.0.0.1:9"), "no model"),
        (("llm", "import-answers", "none.jsonl"), "none.jsonl"),
        (("llm", "cache"), "there is no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = _evergraph(*arguments, "--state-dir", tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
