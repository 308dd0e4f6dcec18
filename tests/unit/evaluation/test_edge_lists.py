"""Edge lists read in order and exactly, and a bad line is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from evaluation.readers import DataFileError
from evaluation.readers.edges import read_edges


def written(folder: Path, text: str) -> Path:
    path = folder / "edges.txt"
    path.write_text(text)
    return path


def test_numbers_become_places_per_side_and_seconds_become_milliseconds(tmp_path: Path) -> None:
    log = read_edges(written(tmp_path, "7 100 0\n3 90 36\n7 90 36\n"))
    assert (len(log), log.n_users, log.n_items, log.name) == (3, 2, 2, "edges")
    assert log.users.tolist() == [1, 0, 1]
    assert log.items.tolist() == [1, 0, 0]
    assert log.user_ids.tolist() == [3, 7]
    assert log.item_ids.tolist() == [90, 100]
    assert log.ts.tolist() == [0, 36_000, 36_000]
    assert log.seq.tolist() == [0, 1, 2]
    assert log.features.shape == (3, 0)


def test_fields_after_the_time_are_features_and_gz_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "some.txt.gz"
    path.write_bytes(gzip.compress(b"1 2 5 0.5 -1\n1 3 6 0.25 2e3\n"))
    log = read_edges(path, unit_ms=1)
    assert log.name == "some"
    assert log.ts.tolist() == [5, 6]
    np.testing.assert_array_equal(log.features, np.array([[0.5, -1], [0.25, 2000]], dtype=np.float32))


def test_a_part_is_a_view_that_keeps_all_numbers(tmp_path: Path) -> None:
    log = read_edges(written(tmp_path, "7 100 0\n3 90 36\n7 90 36\n"))
    part = log.part(1, 3)
    assert (len(part), part.n_users, part.n_items) == (2, 2, 2)
    assert part.seq.tolist() == [1, 2]
    assert part.users.base is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n1 x 4\n", r"line 2: destination must be a whole number, not 'x'"),
        ("1 2 3\n1 2\n", r"line 2: time must be a whole number, not missing"),
        ("1 2 5\n1 2 4\n", r"line 2: its time is before that of the line above; sort"),
        ("1 2 3 0.5\n1 2 4 nan\n", r"line 2: feature 1 must be finite"),
        ("1 2 3 0.5\n1 2 4 inf\n", r"line 2: feature 1 must be finite"),
        ("1 2 3 0.5\n1 2 4 much\n", r"line 2: feature 1 must be a number, not 'much'"),
        ("1,2,3\n", r"line 1: 1 fields; a line must be `source destination time"),
        ("", r"the file is empty"),
        ("99999999999999999999 2 3\n", r"line 1: source must be a whole number"),
    ],
)
def test_a_bad_line_is_named_with_its_rule(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        read_edges(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"nowhere\.txt: no such file"):
        read_edges(tmp_path / "nowhere.txt")
