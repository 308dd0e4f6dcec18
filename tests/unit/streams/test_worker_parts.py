"""The small parts of the worker that decide what may be committed, when lists are due, and when it is a stall."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dyngraph.relations import RelationSlot, RelationTable
from streams.settings import Settings
from streams.worker.acks import HeldEvents
from streams.worker.catchup import CatchUp
from streams.worker.counters import Counters, Rate
from streams.worker.delivery import Begun, finished_at_once
from streams.worker.erasures import Erasures
from streams.worker.exit_codes import ExitCode
from streams.worker.intake import Intake
from streams.worker.relations import RelationsPublisher
from streams.worker.shard_lock import ShardInUseError, ShardLock
from streams.worker.watchdog import Judge, Pulse


class _Event:
    """An event as Faust hands it over, reduced to what is asked of it."""

    def __init__(self, offset: int) -> None:
        self.message = SimpleNamespace(offset=offset, key=b"k", value=b"v")
        self.key, self.value = b"k", b"v"
        self.acks = 0

    def ack(self) -> bool:
        self.acks += 1
        return True


def _events(*offsets: int) -> list[Any]:
    return [_Event(offset) for offset in offsets]


# --- acknowledgements -------------------------------------------------------------------------------------------------


def test_an_event_is_acknowledged_once_and_only_when_its_offset_is_below_the_commit_offset() -> None:
    events = _events(0, 1, 2, 3)
    held = HeldEvents()
    held.hold(events)
    assert held.release(0) == 0
    assert held.release(2) == 2
    assert held.release(2) == 0
    assert [event.acks for event in events] == [1, 1, 0, 0]
    assert held.releasable(3)
    assert not held.releasable(2)


def test_held_events_drop_their_payload_and_are_forgotten_after_a_rebalance() -> None:
    events = _events(0)
    held = HeldEvents()
    held.hold(events)
    assert (events[0].value, events[0].message.value, events[0].message.key) == (None, None, None)
    held.forget()
    assert held.release(10) == 0
    assert events[0].acks == 0


# --- intake -----------------------------------------------------------------------------------------------------------


def test_the_intake_gives_whole_steps_and_knows_what_waits() -> None:
    async def scenario() -> None:
        intake = Intake(bound=100)
        await intake.put(_events(5, 6, 8, 9))
        assert (intake.first, intake.last, len(intake)) == (5, 9, 4)
        assert [event.message.offset for event in intake.take_through(7)] == [5, 6]
        assert [event.message.offset for event in intake.take(10)] == [8, 9]
        assert (intake.first, intake.last) == (None, None)

    asyncio.run(scenario())


def test_a_full_intake_makes_the_sender_wait_until_there_is_room_or_a_step_needs_more() -> None:
    async def scenario() -> None:
        intake = Intake(bound=2)
        await intake.put(_events(0, 1))
        blocked = asyncio.create_task(intake.put(_events(2)))
        await asyncio.sleep(0)
        assert not blocked.done()
        intake.expect(5)
        await asyncio.wait_for(blocked, 1)
        assert len(intake) == 3

    asyncio.run(scenario())


def test_waiting_ends_with_new_events_and_also_when_all_are_dropped() -> None:
    async def scenario() -> None:
        intake = Intake(bound=10)
        for change in (lambda: intake.put(_events(0)), None):
            waiting = asyncio.create_task(intake.wait())
            await asyncio.sleep(0)
            if change is not None:
                await change()
            else:
                intake.clear()
            await asyncio.wait_for(waiting, 1)
        assert len(intake) == 0

    asyncio.run(scenario())


# --- catch-up ---------------------------------------------------------------------------------------------------------


def _shard(applied: int, border: int | None = None) -> Any:
    return SimpleNamespace(applied_offset=applied, next_border=lambda first: border)


@pytest.mark.parametrize(
    ("applied", "border", "end", "reached"),
    [
        (-1, None, 0, True),  # an empty log
        (-1, None, 5, False),
        (4, None, 5, True),
        (3, None, 5, False),
        (31, 63, 40, True),  # the rest is no whole step yet
        (31, 63, 64, False),
    ],
)
def test_caught_up_means_that_everything_that_can_be_applied_has_been(
    applied: int, border: int | None, end: int, reached: bool
) -> None:
    way = CatchUp()
    way.begin(end)
    assert way.reached(_shard(applied, border)) is reached


def test_users_touched_on_the_way_are_due_once_at_the_end() -> None:
    way = CatchUp()
    way.begin(10)
    way.touch(["b", "a"])
    way.touch(["b"])
    assert list(way.finish()) == ["b", "a"]
    assert way.done
    assert not way.finish()


# --- delivery ---------------------------------------------------------------------------------------------------------


def test_a_coroutine_that_need_not_wait_is_done_on_the_spot() -> None:
    async def work() -> None:
        done.append(1)

    done: list[int] = []
    assert finished_at_once(work()) is None
    assert done == [1]


def test_a_coroutine_that_waits_goes_on_where_it_stopped() -> None:
    async def scenario() -> list[object]:
        steps: list[object] = []
        gate, second = asyncio.Event(), asyncio.Event()

        async def work() -> str:
            steps.append("begun")
            await gate.wait()
            steps.append("between")
            await second.wait()
            return "end"

        rest = finished_at_once(work())
        assert isinstance(rest, Begun)
        gate.set()
        second.set()
        steps.append(await asyncio.wait_for(asyncio.ensure_future(rest), 1))
        return steps

    assert asyncio.run(scenario()) == ["begun", "between", "end"]


def test_a_cancellation_reaches_the_coroutine_that_waits() -> None:
    async def scenario() -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        rest = finished_at_once(work())
        assert rest is not None
        task = asyncio.ensure_future(rest)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(scenario()) == ["cancelled"]


# --- watchdog ---------------------------------------------------------------------------------------------------------


def test_lag_without_progress_for_the_limit_is_a_stall() -> None:
    judge = Judge(60, 0.0, Pulse(beats=0, progress=5, lag=3))
    assert judge.complaint(59, Pulse(beats=59, progress=5, lag=3)) is None
    complaint = judge.complaint(61, Pulse(beats=61, progress=5, lag=3))
    assert complaint is not None
    assert "3 events are waiting" in complaint


@pytest.mark.parametrize("pulse", [Pulse(61, 6, 3), Pulse(61, 5, 0)])
def test_progress_and_an_empty_log_are_no_stall(pulse: Pulse) -> None:
    judge = Judge(60, 0.0, Pulse(beats=0, progress=5, lag=3))
    assert judge.complaint(61, pulse) is None


def test_an_event_loop_that_hangs_is_a_stall_even_without_lag() -> None:
    judge = Judge(60, 0.0, Pulse(beats=7, progress=5, lag=0))
    complaint = judge.complaint(61, Pulse(beats=7, progress=5, lag=0))
    assert complaint is not None
    assert "event loop" in complaint


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_only_faults_that_a_start_can_mend_are_restarted() -> None:
    assert {code for code in ExitCode if code.restartable} == {ExitCode.FAILED, ExitCode.STALLED}


def test_a_tombstone_is_honoured_once_also_after_a_start_and_another_log_starts_over(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path, "log-1")
    assert not erasures.honoured(3)
    erasures.mark(3)
    again = Erasures(tmp_path, "log-1")
    assert again.honoured(3)
    assert again.honoured(2)
    assert not again.honoured(4)
    assert not Erasures(tmp_path, "log-2").honoured(0)


def test_a_shard_folder_has_one_owner_and_names_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from streams.worker.shard_lock import ShardLock\n"
        "ShardLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(ShardInUseError, match=f"process {owner.pid}"):
            ShardLock(tmp_path).acquire(wait_s=0)
    finally:
        owner.kill()
        owner.wait()
    mine = ShardLock(tmp_path)
    mine.acquire(wait_s=5)
    assert (tmp_path / "lock").read_text().strip() == str(os.getpid())
    mine.release()


def test_rates_and_waits_are_told_from_recent_things_only() -> None:
    rate = Rate(window_s=1e9)
    rate.add(3)
    rate.add(4)
    assert rate.total == 7
    counters = Counters()
    assert counters.describe()["event_to_list_ms"] == {"p50": None, "p99": None}
    counters.list_ms.extend(float(wait) for wait in range(1, 101))
    assert counters.describe()["event_to_list_ms"] == {"p50": 50.0, "p99": 99.0}


# --- latent relations -------------------------------------------------------------------------------------------------


def test_a_table_is_published_once_and_again_when_the_partition_was_away() -> None:
    sent: list[bytes] = []

    async def send(topic: str, key: bytes, *_: object) -> None:
        sent.append(key)

    publisher = RelationsPublisher(cast(Any, SimpleNamespace(producer=SimpleNamespace(send=send))), Settings())
    table = RelationTable(1, 5, 0, (RelationSlot(bytes(2), 1.0, ()),), "statistical")

    async def through() -> None:
        await publisher.publish(0, None)
        await publisher.publish(0, table)
        await publisher.publish(0, table)
        await publisher.publish(1, table)
        publisher.left(0)
        await publisher.publish(0, table)

    asyncio.run(through())
    assert sent == [b"shard-0", b"shard-1", b"shard-0"]
