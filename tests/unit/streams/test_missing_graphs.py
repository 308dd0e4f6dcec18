"""Why a user has no reasoning graph: a worker tells what it knows, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from unit.dyngraph.small_logs import SMALL, event
from unit.models.living_parts import CHAINS, graph_of

from dyngraph.shard import LogRecord, Shard, ShardConfig
from llm_workers.refresh.config import ReasoningRefreshConfig
from llm_workers.refresh.policy import policy_over
from llm_workers.refresh.several import Policies
from models.system import SystemConfig, open_shard
from streams.cli.recommend import WorkerUnreachable, ask
from streams.worker.http_port import HttpPort, Overview
from streams.worker.reasoning import reasoning_of, why_none
from streams.worker.shards import ShardHost

SYSTEM = SystemConfig(tgn=SMALL.tgn, chains=CHAINS)
Answer = TypeVar("Answer")


def opened(folder: Path, *, reasoning: bool = True, **config: Any) -> Shard:
    """A shard that asks for graphs as these settings say."""
    settings = ReasoningRefreshConfig(**config)
    return open_shard(
        ShardConfig(state_dir=folder, clock="log"),
        0,
        SYSTEM,
        lambda engine: Policies({"reasoning": policy_over(settings, engine, "reasoning")} if reasoning else {}),
    )


def acted(shard: Shard, *users: str) -> None:
    """One event of each, in one step."""
    first = shard.applied_offset + 1
    log = [event(first + place, user, f"item-{place}") for place, user in enumerate(users)]
    shard.apply([LogRecord(seq, one.ts, one) for seq, one in log])


def why(shard: Shard, user: str, not_ready: str | None = None) -> str:
    assert reasoning_of(shard, user) is None
    return ": ".join(why_none(shard, user, not_ready))


@pytest.fixture
def plenty(tmp_path: Path) -> Iterator[Shard]:
    """A shard that asks for a graph at every event from the second on."""
    shard = opened(tmp_path, jobs_per_1000=1_000)
    yield shard
    shard.close()


def test_a_user_without_events_is_unknown(plenty: Shard) -> None:
    acted(plenty, "ann")
    assert "this worker has no event of such a user: check the id" in why(plenty, "bob")
    behind = "catching up on partition 0"
    assert f"no event of such a user: wait: the worker is not ready ({behind})" in why(plenty, "bob", behind)
    plenty.erase("ann")
    acted(plenty, "eve")
    assert "this worker has no event of such a user" in why(plenty, "ann")


def test_after_the_first_event_it_is_too_early(plenty: Shard) -> None:
    acted(plenty, "ann")
    assert "from a user's event 2 on, and this user has 1" in why(plenty, "ann")


def test_who_was_asked_for_waits_for_an_answer(plenty: Shard) -> None:
    acted(plenty, "ann")
    acted(plenty, "ann")
    told = why(plenty, "ann")
    assert "one was asked for, and none has been taken in yet" in told and "--role llm" in told
    now = plenty.horizon.ts
    plenty.offer_reasoning([graph_of("ann", now, ["item-0"])])
    assert reasoning_of(plenty, "ann") is not None


def test_who_waits_for_the_budget_is_told_of_it(tmp_path: Path) -> None:
    shard = opened(tmp_path, jobs_per_1000=7)
    acted(shard, "ann", "bob")
    acted(shard, "ann", "bob")
    told = why(shard, "ann")
    assert "one of 2 who wait for a turn: `reasoning_refresh.jobs_per_1000` allows 7 graphs per 1,000 events" in told
    shard.close()


def test_who_had_to_leave_the_line_is_not_said_to_wait(tmp_path: Path) -> None:
    shard = opened(tmp_path, jobs_per_1000=0, most_waiting=1)
    acted(shard, "ann", "bob")
    acted(shard, "ann", "bob", "bob")
    assert "one of 1 who wait for a turn" in why(shard, "bob")
    assert "none is asked for" in why(shard, "ann")
    shard.close()


def test_a_worker_without_reasoning_says_so_of_everybody(tmp_path: Path) -> None:
    shard = opened(tmp_path, reasoning=False)
    acted(shard, "ann")
    assert why(shard, "ann") == why(shard, "nobody")
    assert "reasoning graphs are off on this worker" in why(shard, "ann")
    shard.close()


def test_the_port_answers_with_the_reason(plenty: Shard) -> None:
    acted(plenty, "ann")

    class Hosted:
        async def run(self, work: Callable[[Shard], Answer]) -> Answer:
            return work(plenty)

    host = SimpleNamespace(of_user=lambda user: Hosted())
    port = HttpPort(cast(ShardHost, host), cast(Overview, SimpleNamespace(not_ready=lambda: None)))

    async def asked(user: str) -> str:
        number = await port.start("127.0.0.1", 0)
        try:
            await asyncio.to_thread(ask, f"http://127.0.0.1:{number}/users/{user}/reasoning")
        except WorkerUnreachable as missing:
            return str(missing)
        finally:
            await port.stop()
        raise AssertionError("there is no graph")

    assert asyncio.run(asked("ann")).startswith("user 'ann' has no reasoning graph: one is asked for from a user's")
    assert asyncio.run(asked("bob")).startswith("user 'bob' has no reasoning graph: the user is unknown here")
