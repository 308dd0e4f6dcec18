"""An erased user is gone: from tables, from the rings of others, from snapshots; and comes back as a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, event, fed, random_log

from dyngraph.shard import LogRecord, Shard, ShardConfig
from dyngraph.snapshots import SnapshotStore
from models.system import build_engine, open_shard

EVENTS = [(seq, one) for seq, one in random_log(96, seed=31, kinds=EVERY_KIND)]
LOG = [LogRecord(seq, one.ts, one) for seq, one in EVENTS]
GONE = "user-2"


def settings(folder: Path) -> ShardConfig:
    return ShardConfig(folder, batching="fixed:8", snapshot_events=24, snapshot_seconds=1e9)


def shard_with_log(folder: Path) -> Shard:
    shard = open_shard(settings(folder), 0, SMALL)
    take(shard, LOG)
    return shard


def take(shard: Shard, log: list[LogRecord]) -> None:
    for start in range(0, len(log), 8):
        shard.apply(log[start : start + 8])


def files_with(folder: Path, text: str) -> list[Path]:
    found = (path for path in (folder / "partition-00000" / "snapshots").rglob("*") if path.is_file())
    return [path for path in found if text.encode() in path.read_bytes() and path.name != "manifest.json"]


def test_the_users_row_is_that_of_a_node_never_seen() -> None:
    engine, blank = fed(EVENTS, 16), build_engine(SMALL)
    row = int(engine.graph.user_ids.find([GONE])[0])
    blank.graph.users.grow(row + 1)
    blank.encoder.grow(row + 1, 1)
    assert engine.erase_user(GONE)
    for name, value in engine.graph.users.state().items():
        assert value[row].equal(blank.graph.users.state()[name][row]), name
    (static,) = [name for name in blank.encoder.state() if "user" in name and name.endswith(".rows")]
    assert engine.encoder.state()[static][row].equal(blank.encoder.state()[static][row])
    history = next(source for source in engine.sources if source.name == "history")
    for name, value in history.state().items():
        if name.startswith("slots."):
            assert value[row].eq(0).all(), name


def test_no_ring_no_example_and_no_id_names_the_user() -> None:
    engine = fed(EVENTS, 5)
    row = int(engine.graph.user_ids.find([GONE])[0])
    assert engine.graph.items.neighbours.state()["whole"][..., 0].eq(row).any()
    engine.erase_user(GONE)
    assert not engine.graph.items.neighbours.state()["whole"][..., 0].eq(row).any()
    assert GONE.encode() not in engine.graph.user_ids.state()["bytes"].numpy().tobytes()
    # Examples that wait to be learned from: the user's own, and those of items whose neighbour the user was.
    waiting = engine.encoder.state()
    assert waiting["examples.waiting.users.rows"].numel()
    assert not waiting["examples.waiting.users.rows"].eq(row).any()
    assert not waiting["examples.waiting.items.slots.nodes"].eq(row).any()


def test_other_users_keep_their_own_state_bit_for_bit() -> None:
    engine, untouched = fed(EVENTS, 16), fed(EVENTS, 16)
    engine.erase_user(GONE)
    row = int(untouched.graph.user_ids.find([GONE])[0])
    others = torch.tensor([other for other in range(len(untouched.graph.user_ids)) if other != row])
    for name, value in engine.graph.users.state().items():
        assert value[others].equal(untouched.graph.users.state()[name][others]), name


def test_the_erased_users_list_is_that_of_a_stranger(tmp_path: Path) -> None:
    shard = shard_with_log(tmp_path)
    before = shard.engine.recommend([GONE])[0].items
    shard.erase(GONE)
    gone, stranger = shard.engine.recommend([GONE, "stranger"])
    assert gone.items == stranger.items != before
    assert shard.history(GONE) == []


def test_no_snapshot_holds_the_users_name_any_more(tmp_path: Path) -> None:
    shard = shard_with_log(tmp_path)
    assert len(files_with(tmp_path, GONE)) > 1
    shard.erase(GONE)
    assert files_with(tmp_path, GONE) == []
    again = open_shard(settings(tmp_path), 0, SMALL)
    assert again.engine.recommend([GONE])[0].items == again.engine.recommend(["stranger"])[0].items
    assert again.digest() == shard.digest()


def test_an_erasure_survives_a_death_before_old_snapshots_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_with_log(tmp_path)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotStore, "prune", dies)
        with pytest.raises(KeyboardInterrupt):
            shard.erase(GONE)
    open_shard(settings(tmp_path), 0, SMALL)
    assert files_with(tmp_path, GONE) == []


def test_erasing_twice_or_a_stranger_is_no_error(tmp_path: Path) -> None:
    shard = shard_with_log(tmp_path)
    shard.erase(GONE)
    before = shard.engine.digest()
    shard.erase(GONE)
    shard.erase("stranger")
    assert shard.engine.digest() == before


def test_the_user_comes_back_as_somebody_new(tmp_path: Path) -> None:
    shard = shard_with_log(tmp_path)
    row = int(shard.engine.graph.user_ids.find([GONE])[0])
    shard.erase(GONE)
    _, again = event(500, GONE, "item-1")
    shard.apply([LogRecord(96 + n, again.ts, one) for n, one in enumerate([again])])
    assert int(shard.engine.graph.user_ids.find([GONE])[0]) > row
    assert [entry.item_id for entry in shard.history(GONE)] == ["item-1"]


def test_recovery_erases_at_the_same_place_of_the_log(tmp_path: Path) -> None:
    shard = open_shard(settings(tmp_path), 0, SMALL)
    take(shard, LOG[:40])
    shard.erase(GONE)
    take(shard, LOG[40:56])
    digest = shard.digest()
    again = open_shard(settings(tmp_path), 0, SMALL)
    take(again, LOG[again.applied_offset + 1 : 56])
    assert again.digest() == digest
