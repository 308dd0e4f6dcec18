"""`evergraph data` and `evergraph validate` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evaluation.datasets import DatasetError
from evaluation.readers import DataFileError
from streams.cli import app, is_user_error

LOG = "user,item,time\nann,i,1600000060\nann,i,1600000060\nZoë,j,1600000000\n"


def test_validate_names_the_layout_and_counts_what_is_left_out(tmp_path: Path) -> None:
    path, figures = tmp_path / "shop.csv", tmp_path / "out.json"
    path.write_text(LOG, encoding="latin-1")
    options = ["--encoding", "latin-1", "--drop-duplicates", "--json", str(figures)]
    done = CliRunner().invoke(app, ["validate", str(path), *options])
    assert done.exit_code == 0, done.output
    assert "2 events of 2 users on 2 items" in done.output
    assert "layout: a table with columns for user, item and time" in done.output
    assert "dropped, repeated (user, item, event type, time): 1" in done.output
    found = json.loads(figures.read_text())
    assert found["layout"] == "a table with columns for user, item and time"
    assert found["dropped"] == {"repeated (user, item, event type, time)": 1}


def test_validate_refuses_what_is_out_of_order_where_order_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(LOG)
    done = CliRunner().invoke(app, ["validate", str(path), "--assume-sorted"])
    assert isinstance(done.exception, DataFileError)
    assert "line 4: its time '1600000000' is before '1600000060' of line 2" in str(done.exception)


def test_an_unknown_set_is_the_users_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "get", "moon", "--to", str(tmp_path)])
    assert isinstance(done.exception, DatasetError)
    assert is_user_error(done.exception)


def test_sets_lie_under_the_folder_of_the_environment_or_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVERGRAPH_DATA", raising=False)
    (tmp_path / "data" / "ml-1m").mkdir(parents=True)
    assert "data/ml-1m is there already" in CliRunner().invoke(app, ["data", "get", "ml-1m"]).output
    monkeypatch.setenv("EVERGRAPH_DATA", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere" / "ml-1m").mkdir(parents=True)
    assert "elsewhere/ml-1m is there already" in CliRunner().invoke(app, ["data", "get", "ml-1m"]).output
