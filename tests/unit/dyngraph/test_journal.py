"""The step journal: what was written is read again, a torn end is dropped, a broken middle is refused."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from dyngraph.batching import Batching
from dyngraph.journal import Journal, JournalError, StepRecord, read_journal

STEPS = [StepRecord(0, 9, True, 0), StepRecord(10, 10, False, 1, ("ann\n", "bob")), StepRecord(11, 40, True, 1)]


def written(folder: Path) -> Path:
    journal = Journal(folder)
    for step in STEPS:
        journal.append(step)
    journal.sync()
    journal.close()
    (segment,) = folder.iterdir()
    return segment


def test_records_come_back_in_order_and_by_their_first_offset(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    journal = Journal(tmp_path / "journal")
    assert [journal.at(step.first) for step in STEPS] == STEPS
    assert journal.at(5) is None
    assert read_journal(tmp_path / "journal") == STEPS
    journal.close()


def test_steps_that_a_snapshot_covers_need_not_be_read(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    journal = Journal(tmp_path / "journal", start=11)
    assert [journal.at(step.first) for step in STEPS] == [None, None, STEPS[2]]
    journal.close()


def test_an_end_torn_at_any_byte_is_dropped_and_written_over(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").read_bytes()
    begin = whole[:-1].rindex(b"\n") + 1
    for end in range(begin, len(whole)):
        folder = tmp_path / f"torn-{end}"
        folder.mkdir()
        (folder / "0").write_bytes(whole[:end])
        journal = Journal(folder)
        assert [journal.at(step.first) for step in STEPS] == [*STEPS[:2], None]
        journal.append(STEPS[2])
        journal.close()
        assert read_journal(folder) == STEPS


def test_a_broken_line_before_the_last_is_refused_with_its_number(tmp_path: Path) -> None:
    segment = written(tmp_path / "journal")
    segment.write_bytes(segment.read_bytes().replace(b"[10,10", b"[10,11"))
    for read in (Journal, read_journal):
        with pytest.raises(JournalError, match="line 2: the checksum does not match"):
            read(tmp_path / "journal")


def test_lines_written_before_weights_could_be_switched_are_read_as_they_were(tmp_path: Path) -> None:
    old = [b"[0,9,true,3]", b'[10,19,false,4,["ann"]]']
    (tmp_path / "0").write_bytes(b"".join(b"%08x %b\n" % (zlib.crc32(line), line) for line in old))
    first, second = read_journal(tmp_path)
    assert (first.weights, first.switched, first.encoder_learned) == (3, "", True)
    assert (second.erased, second.switched, second.encoder_learned) == (("ann",), "", False)


def test_what_was_switched_in_and_who_learned_is_read_again(tmp_path: Path) -> None:
    record = StepRecord(0, 9, True, 7, (), "000000000007-0123456789abcdef", False)
    journal = Journal(tmp_path)
    journal.append(record)
    assert journal.at(0) == record, "a step that failed is tried again as it was begun"
    journal.close()
    assert read_journal(tmp_path) == [record]
    assert not record.encoder_learned


def test_a_folder_without_a_journal_has_no_records(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "nowhere") == []


def test_segments_are_read_as_one_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dyngraph.journal.SEGMENT_BYTES", 1)
    journal = Journal(tmp_path)
    for step in STEPS:
        journal.append(step)
        journal.settle(step.last)
    journal.close()
    assert len(list(tmp_path.iterdir())) == len(STEPS) + 1
    assert read_journal(tmp_path) == STEPS
    for start in (0, 10, 11, 41):
        again = Journal(tmp_path, start)
        assert [again.at(step.first) for step in STEPS if step.first >= start] == [s for s in STEPS if s.first >= start]
        again.close()


@pytest.mark.parametrize(("text", "first", "border"), [("adaptive", 7, None), ("fixed:8", 7, 7), ("fixed:8", 8, 15)])
def test_borders_of_batching(text: str, first: int, border: int | None) -> None:
    assert Batching.parse(text).border(first) == border


@pytest.mark.parametrize("text", ["", "fixed", "fixed:0", "fixed:-1", "fixed:x", "Adaptive"])
def test_an_unknown_batching_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="use adaptive, or fixed:B"):
        Batching.parse(text)
