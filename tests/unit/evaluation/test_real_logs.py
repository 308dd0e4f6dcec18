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


def test_movielens_1m_reads_straight() -> None:
    log = read_log(folder("ml-1m"))
    assert (len(log), log.n_users, log.n_items, len(log.items)) == (1_000_209, 6_040, 3_706, 3_883)
    assert log.span == (956_703_932_000, 1_046_454_590_000)  # 2000-04-25 23:05:32 to 2003-02-28 17:49:50
    assert set(log.column("event_type")) == {int(EventType.RATING)}
    assert log.frame["value"].value_counts().sort("value")["count"].to_list() == [
        56_174,
        107_557,
        261_197,
        348_971,
        226_310,
    ]
    assert log.frame["ts"].n_unique() == 458_455
    assert set(log.frame["item_id"].unique()) <= set(log.catalogue)
    assert all(item.title and item.categories for item in log.items)
    assert log.catalogue["73"].title == "Misérables, Les (1995)"
    assert len({genre for item in log.items for genre in item.categories}) == 18


def test_wikipedia_reads_straight() -> None:
    log = read_log(folder("ctdg-wikipedia"))
    assert (len(log), log.n_users, log.n_items, log.items) == (157_474, 8_227, 1_000, [])
    assert not set(log.frame["user_id"].unique()) & set(log.frame["item_id"].unique())
    assert log.span == (0, 2_678_373_000)
    assert "rows were not in time order: sorted (stable)" not in log.notes


def test_online_retail_reads_as_the_reference_results_do() -> None:
    log = read_log(folder("online-retail"))
    # The second half of 387,797 are the 193,899 events that the reference results evaluate.
    assert (len(log), log.n_users, log.n_items, len(log.items)) == (387_797, 4_339, 3_665, 3_665)
    assert sum(log.dropped.values()) + len(log) == 541_909
    assert log.dropped["lines without a customer"] == 541_909 - 406_829
    assert log.dropped["lines of cancelled invoices (C…)"] == 406_829 - 397_924
    assert set(log.column("event_type")) == {int(EventType.PURCHASE)}
    assert log.catalogue["85123A"].title == "WHITE HANGING HEART T-LIGHT HOLDER"
