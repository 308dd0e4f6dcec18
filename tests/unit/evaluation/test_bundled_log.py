"""The bundled log is small, whole, attributed, and what its build script makes of the ledger."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from dyngraph.events import EventType
from evaluation.readers import DataFileError, bundled_path, read_log, validate_log

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("EVERGRAPH_DATA", ROOT.parent / "shared" / "data"))

LEDGER = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,10002,RED LAMP,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
2,10003,SET/6 T-LIGHTS 9CM,1,2010-12-01 08:26:00,2.55,13047.0,United Kingdom
1,10004A,CHILDREN'S  CUP ,1,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
1,10002,RED LAMP,2,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
1,POST,POSTAGE,1,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
3,10002,RED LAMP,1,2010-12-01 08:28:00,2.55,,United Kingdom
C4,10002,Big Red Lamp,-6,2010-12-02 08:26:00,2.55,17850.0,United Kingdom
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_online_retail", ROOT / "scripts/build_online_retail.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_bundled_log_reads_as_its_summary_says() -> None:
    summary = json.loads((bundled_path() / "SUMMARY.json").read_text())
    report = validate_log(bundled_path())
    assert report.ok
    assert (report.rows, report.users) == (summary["events"], summary["users"])
    assert report.items == report.catalogue == summary["items"]
    assert report.event_types == summary["event_types"]
    assert report.span == (summary["first_ts_ms"], summary["last_ts_ms"])
    assert report.in_time_order
    assert report.duplicates == 0
    assert summary["lines"] == summary["events"] + sum(summary["dropped"].values()) == 541_909


def test_the_bundled_log_is_under_five_megabytes_and_says_whose_it_is() -> None:
    assert sum(path.stat().st_size for path in bundled_path().iterdir()) < 5_000_000
    assert "CC BY 4.0" in (bundled_path() / "ATTRIBUTION.md").read_text()


def test_each_moment_of_a_user_stands_together() -> None:
    moments = read_log(bundled_path()).frame.select("ts", "user_id")
    runs = moments.select(pl.struct("ts", "user_id").rle_id().max() + 1).item()
    assert runs == moments.n_unique()


def test_an_unknown_bundled_name_lists_the_known_ones() -> None:
    with pytest.raises(DataFileError, match="bundled are: online_retail"):
        bundled_path("moon")


def test_the_script_keeps_goods_of_known_customers_and_counts_the_rest(script: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "ledger.csv.gz"
    source.write_bytes(gzip.compress(LEDGER.encode()))
    summary = script.build(source, tmp_path / "out")
    log = read_log(tmp_path / "out")
    first, second = 1_291_191_960_000, 1_291_278_360_000
    assert log.frame.rows() == [
        ("17850", "10002", EventType.PURCHASE, first, 6.0),
        ("17850", "10004A", EventType.PURCHASE, first, 1.0),
        ("13047", "10003", EventType.PURCHASE, first, 1.0),
        ("17850", "10002", EventType.REMOVE, second, 6.0),
    ]
    titles = {item.item_id: item.title for item in log.items}
    assert titles == {"10002": "Big Red Lamp", "10003": "Set/6 T-Lights 9cm", "10004A": "Children's Cup"}
    assert summary["dropped"] == {
        "no customer": 1,
        "no goods: postage": 1,
        "repeated (user, item, time, type)": 1,
    }


def test_the_script_stops_at_a_code_it_does_not_know(script: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "ledger.csv"
    source.write_text(LEDGER + "5,SURPRISE,?,1,2010-12-02 08:26:00,1,17850.0,France\n")
    with pytest.raises(ValueError, match="SURPRISE"):
        script.build(source, tmp_path / "out")


def test_the_bundled_files_are_those_the_script_builds(script: ModuleType, tmp_path: Path) -> None:
    source = DATA / "online-retail" / "online_retail.csv.gz"
    if not source.exists():
        pytest.skip(f"{source.name} is not under {DATA}; set EVERGRAPH_DATA to the folder that holds it")
    script.build(source, tmp_path)
    for name in ("interactions", "items"):
        built = pl.read_parquet(tmp_path / f"{name}.parquet")
        assert built.equals(pl.read_parquet(bundled_path() / f"{name}.parquet"))
