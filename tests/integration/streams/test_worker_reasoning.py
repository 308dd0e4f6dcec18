"""Reasoning graphs through a real broker: asked for, counted, taken in, kept through a kill, gone after an erasure."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest
from worker_process import READY_WITHIN_S, WorkerProcess, event, keyed, producer, records, worker

from streams.artefact_messages import LlmJob
from streams.cli.recommend import WorkerUnreachable

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000
SHOP = {"tea": "Green tea", "cup": "Tea cup", "pot": "Tea pot", "jug": "Milk jug", "saw": "Hand saw"}
USERS = [f"user-{number}" for number in range(6)]
ALWAYS = {"reasoning_refresh_jobs_per_1000": 1_000, "batching": "fixed:4", "snapshot_events": 12}


def _publish(graph: WorkerProcess, first: int, count: int) -> int:
    """Events in which tea leads to a cup and a cup to a pot; the last offset."""
    walk = list(SHOP)
    with producer(graph.broker) as client:
        for place in range(first, first + count):
            message = event(USERS[place % len(USERS)], walk[place // len(USERS) % len(walk)], TS + 60_000 * place)
            sent = client.send(f"{graph.prefix}interactions", msgspec.json.encode(message), key=keyed(message))
        return int(sent.get(30).offset)


def _describe(graph: WorkerProcess) -> None:
    with producer(graph.broker) as client:
        for item, title in SHOP.items():
            body = {"item_id": item, "title": title, "categories": ["kitchen"]}
            client.send(f"{graph.prefix}items", msgspec.json.encode(body), key=item.encode()).get(30)
    graph.until(lambda: graph.get("/state")["catalogue"] >= len(SHOP), "aware of the items")


def _steps(graph: WorkerProcess, user: str) -> int:
    """Links of the user's chains; 0 without a graph."""
    try:
        return len(graph.get(f"/users/{user}/reasoning")["graph"]["steps"])
    except WorkerUnreachable as missing:
        assert "no reasoning graph" in str(missing)
        return 0


def test_graphs_come_in_outlast_a_kill_and_leave_with_their_user(broker: str, prefix: str, tmp_path: Path) -> None:
    with worker(broker, prefix, tmp_path, **ALWAYS) as graph:
        llm = WorkerProcess(broker, prefix, tmp_path, role="llm")
        try:
            llm.spawn()
            _describe(graph)
            graph.until_applied(_publish(graph, 0, 24))
            llm.until(lambda: llm.url is not None, "serving", READY_WITHIN_S)
            graph.until(lambda: all(_steps(graph, user) for user in USERS), "given a graph of every user")
            # A first version is of at most the four events so far: later ones go on from it.
            graph.until_applied(_publish(graph, 24, 12))
            graph.until(lambda: all(_steps(graph, user) > 4 for user in USERS), "given what came later too")
            jobs = records(broker, f"{prefix}llm-jobs", 1)
            assert "reasoning" in {msgspec.json.decode(one.value or b"", type=LlmJob).kind for one in jobs}

            # The next step carries into the journal what came in; then nothing else comes any more.
            llm.end()
            graph.until_applied(_publish(graph, 36, 12))
            before, shown = graph.shard(digest=True), graph.get(f"/users/{USERS[0]}/reasoning")["graph"]
            assert graph.end(signal.SIGKILL) == -signal.SIGKILL
            graph.start()
            graph.until_applied(before["applied_offset"])
            assert graph.shard(digest=True)["digest"] == before["digest"]
            assert graph.get(f"/users/{USERS[0]}/reasoning")["graph"] == shown
        finally:
            llm.close()

        with producer(broker) as client:
            client.send(f"{prefix}users", None, key=USERS[0].encode()).get(30)
        graph.until(lambda: not _steps(graph, USERS[0]), "without the graph")
        (gone,) = records(broker, f"{prefix}reasoning-graphs", 1, where=lambda one: one.value is None)
        assert gone.key == USERS[0].encode()
        assert _steps(graph, USERS[1])
