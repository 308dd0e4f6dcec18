"""Partitions move between workers under load; no event is lost or doubled on the way."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import msgspec
import pytest
from worker_process import WorkerProcess, event, keyed, producer, worker

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000


def test_a_partition_moves_to_a_second_worker_and_back_without_loss_or_doubling(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    draw = random.Random(1)
    ended = threading.Event()
    sent = [0]

    def load() -> None:
        with producer(broker) as client:
            while not ended.is_set():
                user, item = f"user-{draw.randrange(50)}", f"item-{draw.randrange(30)}"
                message = event(user, item, TS + 1_000 * sent[0])
                client.send(f"{prefix}interactions", msgspec.json.encode(message), key=keyed(message))
                sent[0] += 1
                ended.wait(0.02)
            client.flush()

    def partitions_of(process: WorkerProcess) -> set[int]:
        return {shard["partition"] for shard in process.get("/state")["shards"]}

    with worker(broker, prefix, tmp_path, partitions=2, session_timeout_ms=6_000) as first:
        first_url = first.url
        assert first_url is not None
        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        first.until_applied(5, 0)
        first.until_applied(5, 1)
        second = WorkerProcess(broker, prefix, tmp_path, partitions=2)
        try:
            second.start()
            second.until(lambda: len(partitions_of(second)) == 1, "owner of one partition", 90)
            (moved,) = partitions_of(second)
            here = second.applied(moved)
            second.until_applied(here + 5, moved)
            assert second.end() == 0
        finally:
            second.close()

        def all_back() -> bool:
            state = first_state(first_url)
            return {shard["partition"] for shard in state["shards"]} == {0, 1}

        first.until(all_back, "owner of both partitions again", 90)
        ended.set()
        thread.join(30)
        first.until(
            lambda: sum(shard["applied_offset"] + 1 for shard in first_state(first_url)["shards"]) >= sent[0],
            "at the end of the log",
        )
        shards = first_state(first_url)["shards"]
        assert sum(shard["events"] for shard in shards) == sent[0]
        assert sum(shard["applied_offset"] + 1 for shard in shards) == sent[0]
        assert sum(shard["duplicates"] for shard in shards) == 0


def first_state(url: str) -> dict[str, list[dict[str, int]]]:
    from streams.cli.recommend import ask

    return ask(f"{url}/state", timeout_s=30)
