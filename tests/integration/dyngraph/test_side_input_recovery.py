"""Catalogue entries, text vectors and profiles come in the middle of the log; a reopened shard still ends where an
uninterrupted one ends, and what an erased user's profiles said is nowhere any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, random_log

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Item
from dyngraph.intake import Intake
from dyngraph.journal import Journal, JournalError, read_journal
from dyngraph.lines import LineFile
from dyngraph.profiles import ProfileStore, UserProfile
from dyngraph.refreshing import Refresh, Wanted
from dyngraph.shard import LogRecord, Shard, ShardConfig
from dyngraph.side_inputs import SideInputLog, read_side_inputs
from dyngraph.state import State
from dyngraph.texts import TextVectors
from models.system import build_engine

LOG = [LogRecord(seq, one.ts, one) for seq, one in random_log(96, seed=37, kinds=EVERY_KIND)]
END = LOG[-1].offset
WIDTH = 4
GONE = "user-2"
PIECES = (5, 13, 2)

Put = Callable[[Shard], None]


def build() -> Engine:
    engine = build_engine(SMALL)
    engine.graph.profiles = ProfileStore(engine.graph.user_ids, WIDTH)
    engine.graph.texts = TextVectors(engine.graph.item_ids, WIDTH)
    return engine


class EveryThirdEvent:
    """A refresh policy small enough to see through: a user is wanted at each third of their events."""

    def __init__(self, engine: Engine) -> None:
        self._counts = torch.zeros(64, dtype=torch.int64)

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> list[Wanted]:
        wanted = []
        for name in step.users:
            row = int(engine.graph.user_ids.find([name])[0])
            self._counts[row] += 1
            if self._counts[row] % 3 == 0:
                known = engine.graph.profiles.newest(row)
                priority = 0.0 if known is None else known.ts / 1e15
                wanted.append(
                    Wanted(name, step.horizon.ts, offset, int(self._counts[row]), (), priority, "3 new events")
                )
        return wanted

    def forget_user(self, user: int) -> None:
        self._counts[user] = 0

    def state(self) -> State:
        return {"counts": self._counts}

    def load_state(self, state: State) -> None:
        self._counts: Tensor = state["counts"].clone()


def config(folder: Path, **settings: Any) -> ShardConfig:
    return ShardConfig(folder, **({"snapshot_events": 24, "snapshot_seconds": 1e9, "keep_snapshots": 2} | settings))


def opened(folder: Path, refresh: Callable[[Engine], Refresh] | None = EveryThirdEvent, **settings: Any) -> Shard:
    return Shard.open(config(folder, **settings), 0, build, refresh=refresh)


def profile(user: str, at: int, phrase: str = "likes rain", **fields: Any) -> UserProfile:
    """Made from all up to offset ``at``."""
    vectors = np.linspace(at, at + 1, 4 * WIDTH).astype("<f2").tobytes()
    moment = max(record.interaction.ts for record in LOG[: at + 1] if record.interaction)
    facets = ((phrase,), (), (), ())
    return UserProfile(user, moment, at, at + 1, facets, vectors, **({"producer": "endpoint"} | fields))


def brands(number: int) -> list[Item]:
    """Entries of all items; another number lets other items share a brand."""
    return [Item(f"item-{n}", title=f"Item {n}", brand=f"brand-{number}-{n // (number + 2)}") for n in range(12)]


PUTS: dict[int, list[Put]] = {
    -1: [lambda shard: shard.put_items(brands(0))],
    19: [lambda shard: shard.offer_profiles([profile("user-1", 15), profile(GONE, 17)])],
    44: [
        lambda shard: shard.put_items(brands(1)),
        lambda shard: shard.put_text_vectors({f"item-{n}": [n, 1.0, 0.5, 2.0] for n in range(9)}),
    ],
    64: [lambda shard: shard.offer_profiles([profile("user-1", 60, "likes sun"), profile("user-4", 30)])],
}
"""What is put once everything up to an offset is applied."""


class Killed(BaseException):
    """The process dies here: nothing after it runs, and nothing catches it."""


def borders() -> Iterator[int]:
    """Last offsets of the steps of the uninterrupted run."""
    end, turn = -1, 0
    while end < END:
        end, turn = min(end + PIECES[turn % len(PIECES)], END), turn + 1
        yield end


CUTS = list(borders())
assert set(PUTS) - {-1} <= set(CUTS)


def run(shard: Shard, wanted: dict[int, list[Wanted]] | None = None) -> Shard:
    """Go on to the log's end, putting what was not put yet; all is put again that a compact topic would give again."""
    for put in (put for at, puts in PUTS.items() if at <= shard.applied_offset or at < 0 for put in puts):
        put(shard)
    while shard.applied_offset < END:
        first = shard.applied_offset + 1
        border = shard.next_border(first)
        if border is None:
            border = next(cut for cut in CUTS if cut >= first)
        result = shard.apply([record for record in LOG if first <= record.offset <= border])
        if wanted is not None:
            wanted[border] = result.wanted
        for put in PUTS.get(border, []):
            put(shard)
    return shard


def take_again(shard: Shard) -> Shard:
    """Take all recorded steps, putting nothing."""
    while (border := shard.next_border(first := shard.applied_offset + 1)) is not None:
        shard.apply(LOG[first : border + 1])
    return shard


def lists(shard: Shard) -> list[Any]:
    return shard.engine.recommend(["user-0", "user-1", GONE, "nobody"])


@pytest.fixture(scope="module")
def wanted() -> dict[int, list[Wanted]]:
    return {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, wanted: dict[int, list[Wanted]]) -> Shard:
    """The uninterrupted run."""
    return run(opened(tmp_path_factory.mktemp("whole")), wanted)


CRASHES = {
    "before the first side inputs are written": (SideInputLog, "append", 1, True),
    "between side inputs and their first step": (SideInputLog, "append", 1, False),
    "after profiles are written": (SideInputLog, "append", 2, False),
    "before entries that change are written": (SideInputLog, "append", 3, True),
    "after entries that change are written": (SideInputLog, "append", 3, False),
    "between a step's record and the step, entries seen": (Journal, "append", 8, False),
    "at the last side inputs": (SideInputLog, "append", 5, False),
    "long after the last snapshot": (Journal, "append", 13, True),
    "while the log of side inputs is synced": (SideInputLog, "sync", 2, True),
}


def dies(where: type, name: str, after: int, monkeypatch: pytest.MonkeyPatch, *, first: bool) -> None:
    """Let the process die in the ``after``-th call of a function, before or after the call does its work."""
    work: Callable[..., Any] = getattr(where, name)
    calls = iter(range(1, 1_000_000))

    def dying(*args: Any, **settings: Any) -> Any:
        last = next(calls) == after
        if last and first:
            raise Killed
        answer = work(*args, **settings)
        if last:
            raise Killed
        return answer

    monkeypatch.setattr(where, name, dying)


@pytest.mark.parametrize("snapshot_events", [24, 1_000])
@pytest.mark.parametrize("crash", CRASHES)
def test_after_a_crash_the_end_is_that_of_an_uninterrupted_run(
    crash: str,
    snapshot_events: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Shard,
    wanted: dict[int, list[Wanted]],
) -> None:
    where, name, after, first = CRASHES[crash]
    if name == "sync" and snapshot_events > END:
        after = 1
    with monkeypatch.context() as patch:
        dies(where, name, after, patch, first=first)
        shard = opened(tmp_path, snapshot_events=snapshot_events)
        shard.start_new_log("the log")
        with pytest.raises(Killed):
            shard = run(shard)
            shard.snapshot()
    again = opened(tmp_path, snapshot_events=snapshot_events)
    again.start_new_log("the log")
    asked: dict[int, list[Wanted]] = {}
    run(again, asked)
    assert state_of(again) == state_of(whole)
    assert lists(again) == lists(whole)
    assert asked.items() <= wanted.items(), "the policy asked for something else than the first time"


def state_of(shard: Shard) -> tuple[str, list[Item]]:
    return shard.engine.digest(), sorted(shard.engine.graph.catalogue.items(), key=lambda item: item.item_id)


def test_entries_do_matter_to_the_state(tmp_path: Path, whole: Shard) -> None:
    """Or the tests above would show nothing: with the same entries, but all from the start, the end is another."""
    early = opened(tmp_path)
    early.put_items(brands(1))
    for cut_from, cut_to in zip([-1, *CUTS], CUTS, strict=False):
        early.apply(LOG[cut_from + 1 : cut_to + 1])
    for puts in PUTS.values():
        for put in puts:
            put(early)
    assert early.engine.graph.catalogue.items() != []
    assert early.engine.digest() != whole.engine.digest()


def test_a_recovery_that_applies_entries_whenever_they_come_ends_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Shard
) -> None:
    """As it was while they were not journalled."""
    run(opened(tmp_path, snapshot_events=1_000))
    again = opened(tmp_path, snapshot_events=1_000)
    with monkeypatch.context() as patch:
        patch.setattr(Intake, "follow", lambda intake, count: intake.take_in())
        again.put_items(brands(1))  # all that a compact topic has kept
        assert take_again(again).engine.digest() != whole.engine.digest()
    rightly = opened(tmp_path, snapshot_events=1_000)
    rightly.put_items(brands(1))
    assert take_again(rightly).engine.digest() == whole.engine.digest()


def test_a_file_replay_along_the_journal_applies_them_at_the_same_borders(tmp_path: Path) -> None:
    """What `replay --journal` does: journal and side inputs are copied to an empty shard, nothing is put."""
    live_shard = run(opened(tmp_path / "live"))
    live, copy = config(tmp_path / "live"), config(tmp_path / "copy", snapshot_events=1_000)
    shutil.copytree(live.journal(0, ""), copy.journal(0, "file"))
    shutil.copytree(live.side_inputs(0), copy.side_inputs(0))
    shard = opened(tmp_path / "copy", snapshot_events=1_000)
    shard.start_new_log("file")
    assert state_of(take_again(shard)) == state_of(live_shard)


def test_a_torn_tail_is_an_input_that_never_came(tmp_path: Path, whole: Shard) -> None:
    shard = opened(tmp_path, snapshot_events=1_000)
    shard.start_new_log("the log")
    shard.put_items(brands(0))
    (segment,) = config(tmp_path).side_inputs(0).iterdir()
    segment.write_bytes(segment.read_bytes()[:-9])
    again = opened(tmp_path, snapshot_events=1_000)
    again.start_new_log("the log")
    assert len(again.engine.graph.catalogue) == 11
    assert state_of(run(again)) == state_of(whole)


def test_a_missing_log_of_side_inputs_stops_with_the_way_out(tmp_path: Path) -> None:
    run(opened(tmp_path, snapshot_events=1_000))
    shutil.rmtree(config(tmp_path).side_inputs(0))
    again = opened(tmp_path, snapshot_events=1_000)
    border = again.next_border(0)
    assert border is not None
    with pytest.raises(JournalError, match=r"12 side inputs had been seen, but the state has seen 0 .* restore that"):
        again.apply(LOG[: border + 1])
    assert again.applied_offset == -1
    shutil.rmtree(config(tmp_path).journals(0))
    run(opened(tmp_path, snapshot_events=1_000))


def test_what_is_not_new_is_not_written_again(tmp_path: Path) -> None:
    shard = run(opened(tmp_path))
    before = list(read_side_inputs(config(tmp_path).side_inputs(0)))
    assert len(before) == 12 + 2 + 12 + 9 + 2

    def everything(shard: Shard) -> None:
        shard.put_items(brands(1))
        shard.put_text_vectors({f"item-{n}": [n, 1.0, 0.5, 2.0] for n in range(9)})
        shard.offer_profiles([profile("user-1", 60, "likes sun"), profile("user-4", 30), profile(GONE, 17)])

    everything(shard)
    shard.close()
    again = opened(tmp_path)
    everything(again)
    again.put_text_vectors({"item-1": [1.0], "item-2": [np.nan] * 4})
    again.offer_profiles([profile("user-1", 15), profile("stranger", 15), profile("user-4", 10, "older")])
    assert list(read_side_inputs(config(tmp_path).side_inputs(0))) == before
    assert again.engine.graph.texts.refused == {"unfit": 2}
    assert again.engine.graph.profiles.refused == {"stranger": 1, "stale": 1}


def test_items_that_come_while_steps_are_ahead_wait_until_those_are_taken(tmp_path: Path) -> None:
    shard = run(opened(tmp_path, snapshot_events=1_000))
    again = opened(tmp_path, snapshot_events=1_000)
    again.put_items([Item("item-1", title="Newer than all of it")])
    first = again.next_border(0)
    assert first is not None
    again.apply(LOG[: first + 1])
    assert again.engine.graph.catalogue.title("item-1") == "Item 1"
    take_again(again)
    assert again.engine.graph.catalogue.title("item-1") == "Newer than all of it"
    assert again.engine.digest() == shard.engine.digest()
    steps = read_journal(config(tmp_path).journal(0, ""))
    assert [step.inputs for step in steps] == sorted(step.inputs for step in steps)
    assert {step.inputs for step in steps} == {12, 14, 35, 37}


def test_a_full_disk_keeps_what_was_offered_for_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = opened(tmp_path)
    shard.start_new_log("the log")

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LineFile, "append", no_space)
        with pytest.raises(OSError, match="No space"):
            shard.put_items(brands(0))
    assert len(shard.engine.graph.catalogue) == 0
    shard.apply(LOG[:5])
    assert len(shard.engine.graph.catalogue) == 12


def test_side_inputs_go_over_to_a_new_log_with_the_state(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.start_new_log("first")
    shard.put_items(brands(0))
    shard.start_new_log("second")
    shard.put_items(brands(1))
    shard.apply(LOG[:5])
    (step,) = read_journal(config(tmp_path).journal(0, "second"))
    assert step.inputs == 24
    digest = shard.digest()
    # Killed here. The second log's steps are taken again with all that both logs' times brought.
    again = opened(tmp_path)
    again.put_items(brands(1))
    again.start_new_log("second")
    again.apply(LOG[:5])
    assert again.digest() == digest
    assert again.engine.graph.catalogue.items() == shard.engine.graph.catalogue.items()


def test_ten_thousand_items_at_a_start_take_well_under_a_second(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.start_new_log("the log")
    items = [
        Item(f"item-{n}", title=f"Thing {n}", brand="Fizz", categories=("A > B",), price=n / 3) for n in range(10_000)
    ]
    begun = time.process_time()
    shard.put_items(items)
    assert time.process_time() - begun < 1  # 0.1 s on an idle core
    begun = time.process_time()
    shard.put_items(items)
    assert time.process_time() - begun < 0.5  # 0.02 s on an idle core


# -- refresh ----------------------------------------------------------------------------------------------------------


def test_what_a_policy_keeps_survives_in_snapshots(tmp_path: Path) -> None:
    shard = run(opened(tmp_path))
    shard.close()
    again = opened(tmp_path)
    assert again.digest() == shard.digest()
    assert isinstance(again.refresh, EveryThirdEvent)
    assert again.refresh.state()["counts"].any()


def test_a_policy_may_come_and_go_between_starts(tmp_path: Path) -> None:
    run(opened(tmp_path, refresh=None)).close()
    with_one = opened(tmp_path)
    assert isinstance(with_one.refresh, EveryThirdEvent)
    assert not with_one.refresh.state()["counts"].any()
    with_one.snapshot()
    assert opened(tmp_path, refresh=None).engine.digest() == with_one.engine.digest()


def test_without_a_policy_nothing_is_wanted(tmp_path: Path) -> None:
    assert opened(tmp_path, refresh=None).apply(LOG[:8]).wanted == []


# -- erasing ----------------------------------------------------------------------------------------------------------


def files_with(folder: Path, text: str) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes())
    return [path.name for path in found]


def test_no_file_of_the_shard_holds_an_erased_users_phrases(tmp_path: Path) -> None:
    shard = run(opened(tmp_path))
    shard.offer_profiles([profile(GONE, 80, "collects porcelain owls"), profile("user-1", 81, "grows tulips")])
    shard.snapshot()
    assert len(files_with(tmp_path, "porcelain")) == 2, "the log and a snapshot"
    row = int(shard.engine.graph.user_ids.find([GONE])[0])
    shard.erase(GONE)
    assert files_with(tmp_path, "porcelain") == []
    assert len(files_with(tmp_path, "tulips")) == 2
    assert shard.engine.graph.profiles.newest(row) is None
    assert isinstance(shard.refresh, EveryThirdEvent)
    assert not shard.refresh.state()["counts"][row]
    again = opened(tmp_path)
    assert again.digest() == shard.digest()
    assert again.describe()["side_inputs"] == shard.describe()["side_inputs"]


def test_profiles_that_wait_are_erased_too(tmp_path: Path) -> None:
    run(opened(tmp_path, snapshot_events=1_000))
    again = opened(tmp_path, snapshot_events=1_000)
    again.offer_profiles([profile(GONE, 80, "collects porcelain owls")])
    again.erase(GONE)
    run(again)
    again.snapshot()
    assert files_with(tmp_path, "porcelain") == []
    assert again.engine.graph.profiles.refused["stranger"] == 0


def test_a_death_before_the_log_is_rewritten_is_made_good_when_the_erasure_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = run(opened(tmp_path))
    shard.offer_profiles([profile(GONE, 80, "collects porcelain owls")])
    with monkeypatch.context() as patch:
        dies(SideInputLog, "blank", 1, patch, first=True)
        with pytest.raises(Killed):
            shard.erase(GONE)
    again = opened(tmp_path)
    again.erase(GONE)
    assert files_with(tmp_path, "porcelain") == []


def test_an_erasure_that_a_full_disk_stopped_is_done_when_it_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = run(opened(tmp_path))
    shard.offer_profiles([profile(GONE, 80, "collects porcelain owls")])
    shard.snapshot()

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dyngraph.snapshots.save_file", no_space)
        with pytest.raises(OSError, match="No space"):
            shard.erase(GONE)
    shard.erase(GONE)
    assert files_with(tmp_path, "porcelain") == []
