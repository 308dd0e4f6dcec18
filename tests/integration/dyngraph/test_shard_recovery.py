"""Whatever dies, a reopened shard ends where an uninterrupted one ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from unit.dyngraph.small_logs import EVERY_KIND, MINUTE_MS, SMALL, START_MS, event, random_log

from dyngraph import snapshots
from dyngraph.admission import AdmissionConfig
from dyngraph.engine import Engine
from dyngraph.events import Interaction, Item
from dyngraph.journal import Journal
from dyngraph.shard import LogRecord, Shard, ShardConfig
from dyngraph.snapshots import SnapshotError
from models.system import SystemConfig, open_shard

LOG = [LogRecord(seq, one.ts, one) for seq, one in random_log(96, seed=29, kinds=EVERY_KIND)]
USERS = ["user-0", "user-3", "nobody"]


class Killed(BaseException):
    """The process dies here: nothing after it runs, and nothing catches it."""


def config(folder: Path, **settings: Any) -> ShardConfig:
    return ShardConfig(folder, **({"batching": "fixed:8", "snapshot_events": 24, "snapshot_seconds": 1e9} | settings))


def run(shard: Shard, log: Sequence[LogRecord] = LOG, pieces: Sequence[int] = (5, 13, 2)) -> Shard:
    """Feed what the shard has not applied; where no border is given, cut in ``pieces`` in turn."""
    turn = 0
    while shard.applied_offset < log[-1].offset:
        first = shard.applied_offset + 1
        border = shard.next_border(first)
        if border is None:
            border, turn = first + pieces[turn % len(pieces)] - 1, turn + 1
        shard.apply([record for record in log if first <= record.offset <= border])
    return shard


def uninterrupted(folder: Path, **settings: Any) -> Shard:
    return run(open_shard(config(folder, **settings), 0, SMALL))


def lists(shard: Shard) -> list[Any]:
    return shard.engine.recommend(USERS)


def dies(where: type | object, name: str, after: int, monkeypatch: pytest.MonkeyPatch, *, first: bool = True) -> None:
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


CRASHES = {
    "in the middle of a step": (Engine, "_rank_batch", 7, True),
    "before a step is journalled": (Journal, "append", 8, True),
    "between journal and step": (Journal, "append", 8, False),
    "after a step, before it is known": (Engine, "step", 8, False),
    "before the first snapshot is written": (snapshots, "save_file", 1, True),
    "before a snapshot's tensors": (snapshots, "save_file", 2, True),
    "after a snapshot's tensors": (snapshots, "save_file", 2, False),
    "while a snapshot is checksummed": (snapshots, "_checksum", 4, True),
    "while a snapshot is synced": (snapshots, "_sync", 7, True),
    "before a snapshot is renamed": (Path, "rename", 2, True),
    "after a snapshot is renamed": (Path, "rename", 2, False),
    "before old snapshots are dropped": (snapshots.SnapshotStore, "prune", 3, True),
    "while old snapshots are dropped": (shutil, "rmtree", 1, True),
    "before the journal is settled": (Journal, "settle", 2, True),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Shard]:
    """The uninterrupted run of a batching, made once."""
    made: dict[str, Shard] = {}

    def of(batching: str) -> Shard:
        if batching not in made:
            made[batching] = uninterrupted(tmp_path_factory.mktemp("whole"), batching=batching)
        return made[batching]

    return of


@pytest.mark.parametrize("batching", ["fixed:8", "adaptive"])
@pytest.mark.parametrize("crash", CRASHES)
def test_after_a_crash_the_end_is_that_of_an_uninterrupted_run(
    crash: str, batching: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Callable[[str], Shard]
) -> None:
    settings = config(tmp_path, batching=batching, keep_snapshots=2)
    shard = open_shard(settings, 0, SMALL)
    where, name, after, first = CRASHES[crash]
    pieces = (5, 13, 2)
    with monkeypatch.context() as patch:
        dies(where, name, after, patch, first=first)
        with pytest.raises(Killed):
            run(shard, pieces=pieces)
    again = open_shard(settings, 0, SMALL)
    assert again.commit_offset <= again.applied_offset + 1
    # What the journal does not say is cut as the uninterrupted run cut it, so that the two can be compared.
    cuts = [0]
    while cuts[-1] < len(LOG):
        cuts.append(cuts[-1] + pieces[(len(cuts) - 1) % len(pieces)])
    while again.applied_offset < LOG[-1].offset:
        done = again.applied_offset + 1
        border = again.next_border(done)
        if border is None:
            border = next(cut for cut in cuts if cut > done) - 1
        again.apply([record for record in LOG if done <= record.offset <= border])
    assert again.digest() == whole(batching).digest()
    assert lists(again) == lists(whole(batching))


@pytest.mark.parametrize("batching", ["fixed:8", "adaptive"])
def test_a_torn_journal_line_is_a_step_that_was_never_taken(batching: str, tmp_path: Path) -> None:
    settings = config(tmp_path, batching=batching, snapshot_events=1_000)
    first = run(open_shard(settings, 0, SMALL), LOG[:64])
    (segment,) = (path for path in settings.journals(0).rglob("*") if path.is_file())
    segment.write_bytes(segment.read_bytes()[:-7])
    again = open_shard(settings, 0, SMALL)
    assert again.applied_offset == -1
    again = run(again, LOG[:64])
    assert again.digest() == first.digest()


def test_fixed_batching_needs_no_journal(tmp_path: Path, whole: Callable[[str], Shard]) -> None:
    run(open_shard(config(tmp_path), 0, SMALL), LOG[:64])
    shutil.rmtree(config(tmp_path).journals(0))
    assert run(open_shard(config(tmp_path), 0, SMALL)).digest() == whole("fixed:8").digest()


def test_adaptive_batching_is_cut_again_as_the_journal_says(tmp_path: Path) -> None:
    settings = config(tmp_path, batching="adaptive", snapshot_events=1_000)
    first = run(open_shard(settings, 0, SMALL), pieces=(3, 11, 1, 20))
    again = open_shard(settings, 0, SMALL)
    assert again.applied_offset == -1
    assert run(again, pieces=(96,)).digest() == first.digest()


def test_without_the_journal_other_cuts_give_another_state(tmp_path: Path) -> None:
    one = run(open_shard(config(tmp_path / "one", batching="adaptive"), 0, SMALL), pieces=(3,))
    other = run(open_shard(config(tmp_path / "other", batching="adaptive"), 0, SMALL), pieces=(96,))
    assert one.digest() != other.digest()


def test_closing_and_opening_changes_nothing(tmp_path: Path, whole: Callable[[str], Shard]) -> None:
    shard = open_shard(config(tmp_path), 0, SMALL)
    shard.put_items([Item("item-1", title="The first")])
    for end in (8, 40, 96):
        run(shard, LOG[:end])
        before, answers = shard.digest(), lists(shard)
        shard.close()
        shard = open_shard(config(tmp_path), 0, SMALL)
        assert shard.digest() == before
        assert lists(shard) == answers
        assert shard.describe()["commit_offset"] <= end  # type: ignore[operator]
    assert shard.digest() == whole("fixed:8").digest()


# -- snapshots --------------------------------------------------------------------------------------------------------


def kept(folder: Path) -> list[Path]:
    return sorted((config(folder).folder(0) / "snapshots").iterdir())


def breaks_tensors(path: Path) -> None:
    data = bytearray((path / "state.safetensors").read_bytes())
    data[-5] ^= 1
    (path / "state.safetensors").write_bytes(data)


def breaks_manifest(path: Path) -> None:
    (path / "manifest.json").write_bytes(b"{")


def loses_catalogue(path: Path) -> None:
    (path / "catalogue.json").unlink()


@pytest.mark.parametrize("damage", [breaks_tensors, breaks_manifest, loses_catalogue])
def test_a_broken_snapshot_is_passed_over_for_the_one_before(
    damage: Callable[[Path], None], tmp_path: Path, whole: Callable[[str], Shard]
) -> None:
    shard = run(open_shard(config(tmp_path), 0, SMALL), LOG[:88])
    committed = shard.commit_offset
    newest, before = kept(tmp_path)[-1], kept(tmp_path)[-2]
    damage(newest)
    again = open_shard(config(tmp_path), 0, SMALL)
    assert f'"applied_offset": {again.applied_offset}' in (before / "manifest.json").read_text()
    assert again.applied_offset + 1 >= committed, "Kafka was told more than the older snapshot covers"
    assert run(again).digest() == whole("fixed:8").digest()


def test_only_the_last_few_snapshots_are_kept_and_the_oldest_decides_what_is_committed(tmp_path: Path) -> None:
    shard = run(open_shard(config(tmp_path, keep_snapshots=2), 0, SMALL))
    assert len(kept(tmp_path)) == 2
    assert shard.applied_offset == 95
    # A due snapshot is written before the step after it, so the newest one covers 0 to 71 and the one before 0 to 47.
    assert shard.commit_offset == 48


def test_a_shard_without_a_snapshot_commits_nothing(tmp_path: Path) -> None:
    shard = run(open_shard(config(tmp_path, snapshot_events=1_000), 0, SMALL), LOG[:40])
    assert shard.commit_offset == 0


def test_another_configuration_is_refused_with_the_way_out(tmp_path: Path) -> None:
    run(open_shard(config(tmp_path), 0, SMALL), LOG[:32])
    with pytest.raises(SnapshotError, match="use the former settings, or another --state-dir"):
        open_shard(config(tmp_path), 0, SystemConfig(tgn=SMALL.tgn, seed=SMALL.seed + 1))


def test_a_snapshot_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    run(open_shard(config(tmp_path), 0, SMALL), LOG[:32])
    manifest = kept(tmp_path)[-1] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(SnapshotError, match="format 99"):
        open_shard(config(tmp_path), 0, SMALL)


def test_a_snapshot_can_be_written_after_one_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = run(open_shard(config(tmp_path, snapshot_events=1_000), 0, SMALL), LOG[:32])

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "save_file", no_space)
        with pytest.raises(OSError, match="No space"):
            shard.snapshot()
    shard.snapshot()
    assert open_shard(config(tmp_path), 0, SMALL).digest() == shard.digest()


def test_events_whose_snapshots_are_all_broken_are_not_lost_silently(tmp_path: Path) -> None:
    shard = run(open_shard(config(tmp_path), 0, SMALL), LOG[:90])
    assert shard.commit_offset > 0
    for path in kept(tmp_path):
        breaks_tensors(path)
    with pytest.raises(SnapshotError):
        open_shard(config(tmp_path), 0, SMALL)


# -- logs -------------------------------------------------------------------------------------------------------------


def test_a_new_log_keeps_the_state_and_starts_offsets_over(tmp_path: Path) -> None:
    shard = open_shard(config(tmp_path), 0, SMALL)
    shard.start_new_log("first")
    run(shard, LOG[:40])
    events, answers, horizon = shard.engine.graph.events, lists(shard), shard.horizon
    shard.start_new_log("first")
    assert shard.applied_offset == 39
    shard.start_new_log("second")
    assert shard.applied_offset == -1
    assert shard.commit_offset == 0
    assert (shard.engine.graph.events, lists(shard), shard.horizon) == (events, answers, horizon)
    late = [LogRecord(n, one.ts, one) for n, (_, one) in enumerate(event(100 + n, "ann", "tea") for n in range(8))]
    result = shard.apply(late)
    assert result.step is not None
    assert result.step.events == 8
    assert shard.applied_offset == 7
    assert shard.horizon > horizon
    digest = shard.digest()
    shard.close()
    again = open_shard(config(tmp_path), 0, SMALL)
    again.start_new_log("second")
    assert again.applied_offset == 7
    assert again.digest() == digest


def test_seq_goes_on_counting_over_logs(tmp_path: Path) -> None:
    shard = open_shard(config(tmp_path, batching="adaptive"), 0, SMALL)
    shard.start_new_log("first")
    run(shard, LOG[:40])
    shard.start_new_log("second")
    moment = shard.horizon.ts
    shard.apply([LogRecord(0, moment, Interaction("again", "ann", "tea", LOG[0].interaction.event_type, moment))])
    assert shard.horizon.seq == 40


def test_the_journal_of_a_former_log_never_cuts_a_new_one(tmp_path: Path) -> None:
    settings = config(tmp_path, batching="adaptive", snapshot_events=1_000)
    shard = open_shard(settings, 0, SMALL)
    shard.start_new_log("first")
    shard.apply(LOG[:40])
    # The process is killed before its first snapshot, and the broker forgot its log.
    again = open_shard(settings, 0, SMALL)
    again.start_new_log("second")
    assert again.next_border(0) is None


def test_offsets_that_are_missing_before_a_border_belong_to_the_step(tmp_path: Path) -> None:
    shard = open_shard(config(tmp_path), 0, SMALL)
    shard.apply([record for record in LOG[:8] if record.offset != 7])
    assert shard.applied_offset == 7
    assert shard.next_border(8) == 15


def test_a_step_cut_beyond_its_border_is_refused(tmp_path: Path) -> None:
    shard = open_shard(config(tmp_path), 0, SMALL)
    with pytest.raises(ValueError, match="ends at 7, but was given offset 8"):
        shard.apply(LOG[:9])
    assert shard.applied_offset == -1


# -- delivery ---------------------------------------------------------------------------------------------------------


def test_records_delivered_again_are_skipped(tmp_path: Path) -> None:
    shard = run(open_shard(config(tmp_path), 0, SMALL), LOG[:40])
    before = shard.digest()
    result = shard.apply(LOG[8:32])
    assert (result.step, result.skipped) == (None, 24)
    assert shard.digest() == before


def test_duplicates_change_no_list(tmp_path: Path) -> None:
    shard = run(open_shard(config(tmp_path, batching="adaptive"), 0, SMALL), LOG[:40])
    state, answers = shard.engine.digest(), lists(shard)
    result = shard.apply([LogRecord(40 + n, START_MS, LOG[n].interaction) for n in range(12)])
    assert result.duplicates == 12
    assert result.step is not None
    assert result.step.events == 0
    assert (shard.engine.digest(), lists(shard)) == (state, answers)
    assert shard.applied_offset == 51


def test_duplicates_are_recognised_after_a_restart(tmp_path: Path) -> None:
    shard = run(open_shard(config(tmp_path, batching="adaptive"), 0, SMALL), LOG[:40])
    shard.close()
    again = open_shard(config(tmp_path, batching="adaptive"), 0, SMALL)
    assert again.apply([LogRecord(40, START_MS, LOG[3].interaction)]).duplicates == 1


def test_late_events_enter_and_too_late_and_future_ones_are_named(tmp_path: Path) -> None:
    limits = AdmissionConfig(allowed_lateness_ms=10 * MINUTE_MS, allowed_lead_ms=MINUTE_MS)
    shard = open_shard(config(tmp_path, batching="adaptive", admission=limits), 0, SMALL)
    shard.apply([LogRecord(0, START_MS + 60 * MINUTE_MS, event(60, "ann", "tea")[1])])
    now = START_MS + 60 * MINUTE_MS
    result = shard.apply(
        [
            LogRecord(1, now, event(55, "bob", "tea")[1]),
            LogRecord(2, now, event(49, "bob", "milk")[1]),
            LogRecord(3, now, event(62, "bob", "rum")[1]),
            LogRecord(4, now, None),
            LogRecord(5, now, event(61, "bob", "jam")[1]),
        ]
    )
    assert [(rejection.offset, rejection.code) for rejection in result.rejected] == [(2, "too_late"), (3, "in_future")]
    assert result.late == 1
    assert result.step is not None
    assert result.step.events == 2
    assert shard.applied_offset == 5
    assert [entry.item_id for entry in shard.history("bob")] == ["jam", "tea"]


def test_a_step_that_fails_leaves_the_shard_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = run(open_shard(config(tmp_path), 0, SMALL), LOG[:40])
    before = shard.digest()

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(shard.engine.encoder, "plan", fails)
        with pytest.raises(RuntimeError):
            shard.apply(LOG[40:48])
    assert shard.digest() == before
    assert shard.apply(LOG[40:48]).duplicates == 0
    assert run(shard).digest() == uninterrupted(tmp_path / "other").digest()
