from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from reasoning_rig import circling, split
from safetensors.numpy import save_file

from evaluation.coded import CodedLog
from evaluation.profiles import stock
from evaluation.reasoning.held_out import HeldOutHistories
from evaluation.reasoning.kept_chains import KeptChains
from evaluation.reasoning.statistical import StatisticalChains
from models.llmrg.chains import PlacedChains
from models.sequential.histories import Histories


@pytest.fixture(autouse=True)
def texts_kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "cache_folder", lambda: tmp_path)


def with_items(data: HeldOutHistories, places: np.ndarray) -> HeldOutHistories:
    """The same with other items at ``places``."""
    items = data.histories.items.copy()
    items[places] = 1 + (items[places] + 4) % data.n_items
    return replace(data, histories=Histories(items, data.histories.starts))


def test_statistical_chains_know_nothing_of_held_out_items() -> None:
    log = circling()
    data = split(log)
    build = StatisticalChains("random")
    one, other = build(log, data, 30.0), build(log, with_items(data, data.tests), 30.0)
    for seen, changed in zip(one.at(data.tests), other.at(data.tests), strict=True):
        np.testing.assert_array_equal(seen, changed)
    # A validation item is part of its own user's test history, and of nothing else.
    other = build(log, with_items(data, data.validation), 30.0)
    for seen, changed in zip(one.at(data.validation), other.at(data.validation), strict=True):
        np.testing.assert_array_equal(seen, changed)


def test_a_users_next_item_has_no_part_in_what_is_imagined_for_them() -> None:
    log = circling()
    data = split(log)
    place = data.learned[data.histories.known(data.learned) == 3][:1]
    build = StatisticalChains("random")
    one, other = build(log, data, 30.0), build(log, with_items(data, place), 30.0)
    assert len(one.at(place).imagined_item), "something is imagined"
    for seen, changed in zip(one.at(place), other.at(place), strict=True):
        np.testing.assert_array_equal(seen, changed)


def test_on_a_circle_the_next_item_is_imagined() -> None:
    log = circling()
    data = split(log)
    chains = StatisticalChains("random")(log, data, 30.0)
    right = chains.imagined_item == data.histories.items[chains.imagined_place]
    found = np.isin(data.tests, chains.imagined_place[right])
    assert found.mean() > 0.9
    unverified = StatisticalChains("random")(log, data, None)
    assert len(unverified.imagined_place) >= len(chains.imagined_place)


def test_kept_chains_are_built_once_per_split_and_threshold(tmp_path: Path) -> None:
    log, built = circling(), []

    def build(log: CodedLog, data: HeldOutHistories, threshold: float | None) -> PlacedChains:
        built.append(threshold)
        return StatisticalChains("random")(log, data, threshold)

    data, shuffled = split(log), HeldOutHistories.of(log, "shuffled", 0)
    first = KeptChains(build, tmp_path / "kept", "test")(log, data, 30.0)
    again = KeptChains(build, tmp_path / "kept", "test")(log, data, 30.0)
    assert built == [30.0]
    assert again.histories is data.histories
    for seen, kept in zip(first.at(data.tests), again.at(data.tests), strict=True):
        np.testing.assert_array_equal(seen, kept)
    KeptChains(build, tmp_path / "kept", "test")(log, data, None)
    KeptChains(build, tmp_path / "kept", "test")(log, shuffled, 30.0)
    KeptChains(build, tmp_path / "kept", "another")(log, data, 30.0)
    assert built == [30.0, None, 30.0, 30.0]
    renamed = {row: msgspec.structs.replace(item, title="soap") for row, item in log.catalogue.items()}
    KeptChains(build, tmp_path / "kept", "test")(replace(log, catalogue=renamed), data, 30.0)
    assert len(built) == 5, "the texts of items are what chains are made of"


def test_a_file_of_chains_that_is_torn_or_of_another_log_is_named(tmp_path: Path) -> None:
    log = circling()
    data, kept = split(log), KeptChains(StatisticalChains("random"), tmp_path / "kept", "test")
    built = kept(log, data, 30.0)
    (path,) = (tmp_path / "kept").glob("*.chains")
    whole = path.read_bytes()
    for torn in (whole[:-100], whole[:5], b""):
        path.write_bytes(torn)
        with pytest.raises(ValueError, match=rf"{path.name}: cannot be read .*; delete it to have it made again"):
            kept(log, data, 30.0)
    save_file({"place": built.place}, path)
    with pytest.raises(ValueError, match=rf"{path.name}: holds place instead of place, came_from"):
        kept(log, data, 30.0)
    path.write_bytes(whole)
    few = replace(data, histories=Histories(data.histories.items[:20], data.histories.starts[:20]))
    path.rename(path.with_name(f"{kept._key(log, few, 30.0)}.chains"))
    with pytest.raises(ValueError, match=r"holds no chains along these histories .*; delete it"):
        kept(log, few, 30.0)
