"""The real sets read straight, and their counts are those of their own descriptions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dyngraph.events import EventType
from evaluation.readers import read_log

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("EVERGRAPH_DATA", ROOT.parent / "shared" / "data"))


def folder(name: str) -> Path:
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"{name} is not under {DATA}; set EVERGRAPH_DATA to the folder that holds it")
    return path


def test_movielens_100k_reads_straight() -> None:
    log = read_log(folder("ml-100k"))
    assert (len(log), log.n_users, log.n_items, len(log.items)) == (100_000, 943, 1_682, 1_682)
    assert log.span == (874_724_710_000, 893_286_638_000)  # 1997-09-20 03:05:10 to 1998-04-22 23:10:38
    assert set(log.column("event_type")) == {int(EventType.RATING)}
    assert set(log.column("value")) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert len(np.unique(log.column("ts"))) == 49_282
    assert (np.diff(log.column("ts")) >= 0).all()
    assert set(log.frame["item_id"]) == set(log.catalogue)
    assert all(item.title and item.categories for item in log.items)
    assert log.catalogue["1"].categories == ("Animation", "Children's", "Comedy")


def test_a_single_inter_file_finds_its_sibling() -> None:
    path = folder("ml-100k")
    assert len(read_log(path / "ml-100k.inter.gz").items) == 1_682


def test_amazon_beauty_reads_straight() -> None:
    log = read_log(folder("amazon-beauty"))
    assert (len(log), log.n_users, log.n_items, len(log.items)) == (198_502, 22_363, 12_101, 12_101)
    assert set(log.column("event_type")) == {int(EventType.VIEW)}
    assert sum(bool(item.title) for item in log.items) == 12_094
    assert sum(item.brand is not None for item in log.items) == 7_476
    assert all(item.categories for item in log.items)
    assert len(np.unique(log.column("ts"))) == 2_927
    assert log.dropped == {}
