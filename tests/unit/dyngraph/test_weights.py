"""Handed-over weights: whole or not there, named by their bytes, kept while something needs them, placed by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dyngraph import weights as module
from dyngraph.ids import IdTable
from dyngraph.order import Moment
from dyngraph.row_digests import Digests, RowDigests, digest_of_id, places
from dyngraph.weights import LearnedWeights, WeightsError, WeightsManifest, WeightsStore

STATE = {"weight.w": torch.arange(6.0).view(2, 3), "static.user": torch.ones(3, 4), "static.item": torch.ones(2, 4)}
NONE = np.zeros(0, dtype=np.int64)


def manifest(version: int = 1, offset: int = 99, **fields: Any) -> WeightsManifest:
    return WeightsManifest(version, "settings", "log", offset, **({"horizon": Moment(1_000 * offset, offset)} | fields))


def digests(*names: str) -> Digests:
    return np.array([digest_of_id(name) if name else 0 for name in names], dtype=np.int64)


def write(store: WeightsStore, version: int = 1, offset: int = 99, **fields: Any) -> WeightsManifest:
    state = STATE | {"weight.w": STATE["weight.w"] + version}
    return store.write(manifest(version, offset, **fields), state, digests("", "ann", "bob"), digests("", "tea"))


def test_a_version_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = write(WeightsStore(tmp_path), 7)
    loaded = WeightsStore(tmp_path).load(written.name)
    assert isinstance(loaded, LearnedWeights)
    assert loaded.manifest == written
    assert set(loaded.state) == set(STATE)
    assert torch.equal(loaded.state["weight.w"], STATE["weight.w"] + 7)
    assert loaded.user_ids.tolist() == digests("", "ann", "bob").tolist()
    assert loaded.item_ids.tolist() == digests("", "tea").tolist()


def test_the_same_weights_have_the_same_name_and_others_another_even_under_one_number(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    first = write(store)
    assert write(store) == first
    other = store.write(manifest(), STATE, digests("", "ann", "bob"), digests("", "tea"))
    assert other.version == first.version
    assert other.name != first.name
    assert len(store.manifests()) == 2


@pytest.mark.parametrize("stopped_in", ["save_file", "sha256_of", "sync"])
def test_a_version_whose_writing_was_cut_off_does_not_exist_and_is_no_obstacle(
    stopped_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    store = WeightsStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, stopped_in, full)
        with pytest.raises(OSError, match="No space"):
            write(store)
    assert store.manifests() == []
    written = write(store)
    assert store.manifests() == [written]
    assert [path.name for path in tmp_path.iterdir()] == [written.name]


def test_a_version_with_another_byte_is_refused(tmp_path: Path) -> None:
    written = write(WeightsStore(tmp_path))
    path = tmp_path / written.name / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="does not have the checksum"):
        WeightsStore(tmp_path).load(written.name)


def test_weights_that_are_not_finite_are_refused_with_the_tensor(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    bad = STATE | {"weight.w": torch.tensor([[1.0, float("nan")]])}
    written = store.write(manifest(), bad, digests("", "ann", "bob"), digests("", "tea"))
    with pytest.raises(WeightsError, match=r"weight\.w holds numbers that are not finite"):
        store.load(written.name)


def test_a_missing_version_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the step journal names them: restore that folder"):
        WeightsStore(tmp_path / "nowhere").load("000000000001-0123456789abcdef")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    written = write(WeightsStore(tmp_path), format=99)
    with pytest.raises(WeightsError, match="format 99, this version reads up to 1; upgrade"):
        WeightsStore(tmp_path).load(written.name)


def test_versions_are_listed_by_what_they_have_seen_and_broken_ones_passed_over(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    late, early = write(store, 3, offset=500), write(store, 9, offset=100)
    (tmp_path / "000000000010-broken").mkdir()
    (tmp_path / "000000000010-broken" / "manifest.json").write_bytes(b"{")
    assert WeightsStore(tmp_path).manifests() == [early, late]
    assert WeightsStore(tmp_path / "nowhere").manifests() == []


def test_weights_count_only_after_everything_they_were_learned_from() -> None:
    learned = manifest(offset=99)
    assert learned.before("log", 100, Moment(0, 0))
    assert not learned.before("log", 99, Moment(10**9, 10**9)), "late events may have moved the horizon"
    assert learned.before("a later log", 0, learned.horizon)
    assert not learned.before("a later log", 0, Moment(learned.horizon.ts, learned.horizon.seq - 1))


def test_a_version_is_newer_by_what_it_has_seen_and_then_by_its_number() -> None:
    assert manifest(2, 200).newer_than(manifest(900, 100))
    assert manifest(2, 200).newer_than(manifest(1, 200))
    assert not manifest(1, 200).newer_than(manifest(1, 200))
    assert manifest().newer_than(None)


def test_passed_over_versions_go_and_claimed_and_newer_ones_stay(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    first, second, third, fourth = (write(store, number, offset=100 * number) for number in (1, 2, 3, 4))
    store.claim(first.name)
    store.claim(third.name)
    store.drop_passed_over(third)
    assert second not in store.manifests()
    assert store.manifests() == [first, third, fourth]


def test_a_limit_never_takes_what_recovery_needs(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    versions = [write(store, number, offset=100 * number) for number in range(1, 7)]
    for one in versions:
        store.claim(one.name)
    store.keep_newest(1, {versions[2].name}, versions[2])
    assert store.manifests() == versions[2:], "the oldest snapshot stands at the third, recovery switches on from there"
    store.keep_newest(1, {versions[4].name, versions[5].name}, versions[4])
    assert store.manifests() == versions[4:]
    store.keep_newest(1, set(), None)
    assert store.manifests() == versions[4:], "a snapshot without handed-over weights needs all that came after it"


# -- rows -------------------------------------------------------------------------------------------------------------


def test_rows_that_agree_are_taken_as_they_are() -> None:
    assert places(digests("", "a", "b"), digests("", "a", "b", "c"), NONE) is None


def test_shifted_rows_are_placed_by_id() -> None:
    theirs, own = digests("", "a", "", "c", "b"), digests("", "a", "b", "c")
    came, at = places(theirs, own, NONE) or (NONE, NONE)
    assert [(int(theirs[i]), int(own[j])) for i, j in zip(came, at, strict=True)] == [
        (digest_of_id(name), digest_of_id(name)) for name in ("a", "c", "b")
    ]


def test_rows_of_erased_users_neither_come_nor_count_as_unknown() -> None:
    came, at = places(digests("", "a", "b"), digests("", "", "b"), digests("a")) or (NONE, NONE)
    assert (came.tolist(), at.tolist()) == ([2], [2])
    came, at = places(digests("", "", "b"), digests("", "", "b"), digests("a")) or (NONE, NONE)
    assert (came.tolist(), at.tolist()) == ([2], [2]), "a nameless row was somebody: it is not taken, equal or not"


def test_rows_of_strangers_are_refused_with_their_number() -> None:
    with pytest.raises(LookupError, match="2"):
        places(digests("", "a", "x", "y"), digests("", "a", "b"), NONE)


def test_digests_follow_a_growing_table_and_hash_nobody_who_was_erased() -> None:
    ids, rows = IdTable(), RowDigests()
    ids.add(["ann", "bob"])
    rows.follow(ids)
    assert rows.view.tolist() == digests("", "ann", "bob").tolist()
    rows.block("ann")
    ids.forget(1)
    ids.add([f"user-{number}" for number in range(200)] + ["ann"])
    rows.follow(ids)
    assert rows.view[:3].tolist() == digests("", "", "bob").tolist()
    assert rows.view[-1] == 0, "who comes back after an erasure gets no row from a file again"
    assert len(rows.view) == len(ids)
    again = RowDigests()
    again.block("ann")
    again.follow(ids)
    assert again.view.tolist() == rows.view.tolist()


def test_a_tampered_file_of_ids_is_noticed(tmp_path: Path) -> None:
    written = write(WeightsStore(tmp_path))
    path = tmp_path / written.name / "weights.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"ids.users": torch.tensor([0, 1, 2])}, path)
    with pytest.raises(WeightsError, match="checksum"):
        WeightsStore(tmp_path).load(written.name)
