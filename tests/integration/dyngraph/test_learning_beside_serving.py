"""A shard that learns hands weights over, a shard that serves switches them in, and the journal says which and when."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, random_log

from dyngraph.engine import Engine
from dyngraph.journal import read_journal
from dyngraph.shard import LogRecord, Shard, ShardConfig
from dyngraph.weights import WeightsError, WeightsManifest
from models.system import SystemConfig, open_shard

LOG = [LogRecord(seq, one.ts, one) for seq, one in random_log(160, seed=31, users=12, kinds=EVERY_KIND)]
USERS = ["user-0", "user-3", "nobody"]
EVERY = 40


def trainer(folder: Path, system: SystemConfig = SMALL, **settings: Any) -> Shard:
    weights = folder / "weights"
    known = {"batching": "fixed:8", "weights_every": EVERY, "snapshot_seconds": 1e9}
    return open_shard(ShardConfig(folder / "trainer", weights_dir=weights, **(known | settings)), 0, system)


def server(folder: Path, system: SystemConfig = SMALL, **settings: Any) -> Shard:
    known = {"batching": "fixed:4", "learn_encoder": False, "snapshot_seconds": 1e9}
    config = ShardConfig(folder / "server", weights_dir=folder / "weights", **(known | settings))
    return open_shard(config, 0, system)


def steps(
    shard: Shard, end: int, start: Callable[[int], None] = lambda _: None, log: Sequence[LogRecord] = LOG
) -> None:
    """Take whole steps while they end before ``end``; ``start`` is called with the first offset of each."""
    while (border := shard.next_border(shard.applied_offset + 1)) is not None and border < end:
        first = shard.applied_offset + 1
        start(first)
        shard.apply([record for record in log if first <= record.offset <= border])


def trained(folder: Path, end: int = 160, **settings: Any) -> list[WeightsManifest]:
    """Let a trainer take the log; what it handed over."""
    shard, handed = trainer(folder, **settings), []

    def look(_: int) -> None:
        if shard.weights_due:
            handed.append(shard.hand_over())

    steps(shard, end, look)
    look(end)
    shard.close()
    return handed


def offer_newest(shard: Shard) -> None:
    """What a worker does: offer the newest version that the shard may use by now."""
    store = shard.weights.store
    assert store is not None
    usable = [one for one in store.manifests() if one.before(shard.log_id, shard.applied_offset + 1, shard.horizon)]
    if usable and usable[-1].newer_than(shard.weights.current):
        store.claim(usable[-1].name)
        shard.offer_weights(store.load(usable[-1].name))


def served(folder: Path, end: int = 160, **settings: Any) -> Shard:
    shard = server(folder, **settings)
    steps(shard, end, lambda _: offer_newest(shard))
    return shard


def switched(folder: Path) -> list[tuple[int, str]]:
    (journal,) = ShardConfig(folder / "server").journals(0).iterdir()
    return [(record.first, record.switched) for record in read_journal(journal) if record.switched]


def test_weights_are_due_each_time_the_log_passes_a_multiple(tmp_path: Path) -> None:
    handed = trained(tmp_path)
    assert [one.offset for one in handed] == [39, 79, 119, 159]
    assert [one.version for one in handed] == sorted({one.version for one in handed})


def test_the_server_serves_with_the_trainers_weights_and_learns_none_of_its_own(tmp_path: Path) -> None:
    handed = trained(tmp_path)
    shard = served(tmp_path)
    assert shard.weights.current == handed[2]
    assert shard.engine.encoder.version == handed[2].version
    assert switched(tmp_path) == [(one.offset + 1, one.name) for one in handed[:3]]
    store = shard.weights.store
    assert store is not None
    learned = store.load(handed[2].name).state
    for name, value in shard.engine.encoder.weights().items():
        came = learned[name]
        assert torch.equal(value[: len(came)], came), name
    alone = open_shard(ShardConfig(tmp_path / "alone", batching="fixed:4", learn_encoder=False), 0, SMALL)
    steps(alone, 160)
    assert alone.engine.encoder.version == 0
    assert alone.engine.recommend(USERS) != shard.engine.recommend(USERS)


def test_the_ranker_learns_on_beside(tmp_path: Path) -> None:
    shard = server(tmp_path)
    before = {name: value.clone() for name, value in shard.engine.ranker.state().items()}
    steps(shard, 40)
    assert any(not torch.equal(value, before[name]) for name, value in shard.engine.ranker.state().items())


def test_a_trainer_that_is_ahead_leaks_nothing(tmp_path: Path) -> None:
    """All versions are offered at the start, or only those whose events will have come: it makes no difference."""
    trained(tmp_path / "one")
    shutil.copytree(tmp_path / "one" / "weights", tmp_path / "other" / "weights")
    ahead = list((tmp_path / "other" / "weights" / "partition-00000").iterdir())
    assert len(ahead) == 4
    for path in sorted(ahead)[2:]:
        shutil.rmtree(path)
    one, two = server(tmp_path / "one"), server(tmp_path / "other")
    for shard in (one, two):
        for manifest in shard.weights.store.manifests()[::-1]:  # type: ignore[union-attr]
            shard.offer_weights(shard.weights.store.load(manifest.name))  # type: ignore[union-attr]
            assert shard.weights.current is None
    steps(one, 120)
    steps(two, 120)
    assert one.digest() == two.digest()
    assert [first for first, _ in switched(tmp_path / "one")] == [40, 80]


def test_an_offer_waits_for_the_step_after_what_it_was_learned_from(tmp_path: Path) -> None:
    handed = trained(tmp_path)
    shard = server(tmp_path)
    store = shard.weights.store
    assert store is not None
    shard.offer_weights(store.load(handed[1].name))
    steps(shard, 80)
    assert shard.weights.current is None
    steps(shard, 84)
    assert shard.weights.current == handed[1]
    shard.offer_weights(store.load(handed[0].name))
    steps(shard, 88)
    assert shard.weights.current == handed[1], "older weights never come after newer ones"


@pytest.mark.parametrize("snapshot_events", [24, 1_000])
def test_a_shard_that_was_killed_switches_at_the_same_steps_again(snapshot_events: int, tmp_path: Path) -> None:
    trained(tmp_path)
    settings = {"batching": "adaptive", "snapshot_events": snapshot_events}
    shard = server(tmp_path, **settings)
    rng = iter([3, 5, 9, 2] * 40)
    while shard.applied_offset < 150:
        offer_newest(shard)
        first = shard.applied_offset + 1
        shard.apply(LOG[first : first + next(rng)])
    count, digest, lists = shard.applied_offset, shard.digest(), shard.engine.recommend(USERS)
    again = server(tmp_path, **settings)
    assert again.applied_offset < count
    steps(again, count + 1)
    assert (again.digest(), again.engine.recommend(USERS)) == (digest, lists)
    assert again.weights.current == shard.weights.current
    offer_newest(again)
    again.apply(LOG[count + 1 :])
    offer_newest(shard)
    shard.apply(LOG[count + 1 :])
    assert again.digest() == shard.digest()


def test_the_journal_leads_from_the_beginning_to_the_same_state(tmp_path: Path) -> None:
    trained(tmp_path)
    shard = served(tmp_path, batching="fixed:4", snapshot_events=24)
    shutil.copytree(ShardConfig(tmp_path / "server").journals(0), ShardConfig(tmp_path / "again").journals(0))
    again = open_shard(ShardConfig(tmp_path / "again", weights_dir=tmp_path / "weights", batching="fixed:4"), 0, SMALL)
    steps(again, 160)
    assert again.digest() == shard.digest(), "also where the settings say now that the encoder learns"


def test_a_recorded_version_that_is_missing_stops_with_an_instruction_and_changes_nothing(tmp_path: Path) -> None:
    handed = trained(tmp_path)
    served(tmp_path, snapshot_events=1_000)
    shutil.rmtree(tmp_path / "weights" / "partition-00000" / handed[0].name)
    again = server(tmp_path)
    steps(again, 40)
    before = again.digest()
    with pytest.raises(WeightsError, match=r"the step journal names them: restore that folder"):
        steps(again, 44)
    assert again.digest() == before
    assert again.applied_offset == 39


def test_a_journal_that_names_weights_needs_a_folder_of_weights(tmp_path: Path) -> None:
    trained(tmp_path)
    served(tmp_path, snapshot_events=1_000)
    again = open_shard(ShardConfig(tmp_path / "server", batching="fixed:4"), 0, SMALL)
    with pytest.raises(WeightsError, match="no folder of weights is configured"):
        steps(again, 60)


def test_a_step_that_fails_takes_the_switch_back_and_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path)
    shard = server(tmp_path)
    steps(shard, 40)
    offer_newest(shard)
    before, lists = shard.digest(), shard.engine.recommend(USERS)
    with monkeypatch.context() as patch:

        def fails(*_: Any, **__: Any) -> None:
            raise RuntimeError("on purpose")

        patch.setattr(shard.engine.encoder, "plan", fails)
        with pytest.raises(RuntimeError, match="on purpose"):
            shard.apply(LOG[40:44])
    assert (shard.digest(), shard.engine.recommend(USERS)) == (before, lists)
    assert shard.weights.current is None
    shard.apply(LOG[40:44])
    assert shard.weights.current is not None
    digest = shard.digest()
    again = server(tmp_path)
    steps(again, 44)
    assert again.digest() == digest


def test_the_last_version_serves_on_when_no_newer_comes(tmp_path: Path) -> None:
    handed = trained(tmp_path, end=80)
    shard = served(tmp_path)
    assert shard.weights.current == handed[-1]
    assert shard.applied_offset == 159
    assert shard.describe()["weights"]["behind"] == 80  # type: ignore[index]


def test_a_trainer_that_was_killed_before_it_could_hand_over_writes_the_same_bytes(tmp_path: Path) -> None:
    handed = trained(tmp_path / "whole")
    killed = trainer(tmp_path / "killed", snapshot_events=24)
    steps(killed, 80)
    assert killed.weights_due
    again = trainer(tmp_path / "killed", snapshot_events=24)
    assert again.applied_offset < 79
    steps(again, 80)
    assert again.weights_due
    assert again.hand_over().name == handed[1].name


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_weights_of_other_settings_are_refused(tmp_path: Path) -> None:
    handed = trained(tmp_path)
    shard = server(tmp_path, SystemConfig(tgn=SMALL.tgn, seed=SMALL.seed + 1))
    with pytest.raises(WeightsError, match="learned under other settings"):
        shard.offer_weights(shard.weights.store.load(handed[0].name))  # type: ignore[union-attr]


def test_weights_of_another_log_are_refused_and_the_server_goes_on(tmp_path: Path) -> None:
    strangers = [
        LogRecord(seq, one.ts, one) for seq, one in random_log(48, seed=1, users=30, items=40, kinds=EVERY_KIND)
    ]
    teacher = trainer(tmp_path)
    steps(teacher, 48, log=strangers)
    teacher.hand_over()
    shard = server(tmp_path)
    steps(shard, 80, lambda _: offer_newest(shard))
    assert shard.weights.current is None
    assert shard.applied_offset == 79
    assert "are unknown to this shard, so they were learned from another log" in shard.weights.refused


# -- erasure ----------------------------------------------------------------------------------------------------------


def test_what_was_learned_of_an_erased_user_does_not_come_back(tmp_path: Path) -> None:
    """Neither to the row the user had, nor to the one under which the user comes back, whoever erased first."""
    handed = trained(tmp_path)
    shard = server(tmp_path)
    steps(shard, 120)
    row = int(shard.engine.graph.user_ids.find(["user-3"])[0])
    shard.erase("user-3")
    start = shard.engine.encoder.weights()["static.user"][row].clone()
    offer_newest(shard)
    steps(shard, 160)
    assert shard.weights.current == handed[2]
    after = shard.engine.encoder.weights()["static.user"]
    came = shard.weights.store.load(handed[2].name).state["static.user"]  # type: ignore[union-attr]
    assert torch.equal(after[row], start)
    assert not torch.equal(came[row], start)
    back = int(shard.engine.graph.user_ids.find(["user-3"])[0])
    assert back > row
    assert not torch.equal(after[back], came[row])
    others = [r for r in range(1, len(came)) if r != row]
    assert torch.equal(after[others], came[others])
    again = server(tmp_path)
    steps(again, 160)
    assert again.digest() == shard.digest()


def test_rows_shifted_by_an_erasure_on_one_side_are_placed_by_id(tmp_path: Path) -> None:
    teacher = trainer(tmp_path)
    steps(teacher, 40)
    teacher.erase("user-3")
    steps(teacher, 160)
    handed = teacher.hand_over()
    shard = server(tmp_path, batching="fixed:8")
    steps(shard, 160)
    own, theirs = shard.engine.graph.user_ids, teacher.engine.graph.user_ids
    shard.offer_weights(shard.weights.store.load(handed.name))  # type: ignore[union-attr]
    more = [LogRecord(160 + n, record.received, None) for n, record in enumerate(LOG[:8])]
    shard.apply(more)
    assert shard.weights.current == handed
    mine, learned = (one.engine.encoder.weights()["static.user"] for one in (shard, teacher))
    for name in {f"user-{number}" for number in range(12)} - {"user-3"}:
        assert torch.equal(mine[int(own.find([name])[0])], learned[int(theirs.find([name])[0])]), name


def test_an_erasure_is_replayed_with_its_switches(tmp_path: Path) -> None:
    trained(tmp_path)
    shard = server(tmp_path, snapshot_events=24)
    steps(shard, 100, lambda _: offer_newest(shard))
    shard.erase("user-5")
    steps(shard, 160, lambda _: offer_newest(shard))
    shutil.copytree(ShardConfig(tmp_path / "server").journals(0), ShardConfig(tmp_path / "again").journals(0))
    again = open_shard(ShardConfig(tmp_path / "again", weights_dir=tmp_path / "weights", batching="fixed:4"), 0, SMALL)
    steps(again, 160)
    assert again.digest() == shard.digest()


# -- keeping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "left"), [(0, 3), (1, 1)])
def test_versions_that_the_journal_or_a_snapshot_needs_are_kept(keep: int, left: int, tmp_path: Path) -> None:
    trained(tmp_path)
    shard = served(tmp_path, keep_weights=keep, snapshot_events=16, keep_snapshots=2)
    store = shard.weights.store
    assert store is not None
    store.drop_passed_over(shard.weights.current)  # type: ignore[arg-type]
    claimed = [
        one for one in store.manifests() if not shard.weights.current or not one.newer_than(shard.weights.current)
    ]
    assert len(claimed) == left
    digest = shard.digest()
    again = server(tmp_path, batching="fixed:4", keep_weights=keep, keep_snapshots=2)
    assert again.applied_offset < 159
    steps(again, 160)
    assert again.digest() == digest


def test_an_engine_learns_its_encoder_or_not_as_it_is_told() -> None:
    from models.system import build_engine

    engine: Engine = build_engine(SMALL)
    events = [(record.offset, record.interaction) for record in LOG[:64] if record.interaction]
    engine.step(events, learn=True, learn_encoder=False)
    assert engine.encoder.version == 0
