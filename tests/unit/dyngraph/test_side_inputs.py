"""The log of side inputs: numbered for good, read again whole, torn ends cut away, erased profiles blanked."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.intake import Intake
from dyngraph.lines import JournalError
from dyngraph.profiles import UserProfile
from dyngraph.side_inputs import BLANK, SideInput, SideInputLog, TextVector, read_side_inputs


def profile(user: str, phrase: str = "", ts: int = 5) -> SideInput:
    facets = ((phrase,), (), (), ())
    return SideInput(profile=UserProfile(user, ts, -1, 3, facets, bytes(range(8)), "statistical"))


ENTRIES = [
    SideInput(item=Item("tea", title='Green\n"tea"', categories=("Drinks > Tea",), price=2.5)),
    SideInput(text=TextVector("tea", b"\x00\n\xff\x7f")),
    profile("ann", "likes rain"),
    profile("bob", "likes sun"),
    SideInput(item=Item("jam", available=False, withdrawn=True)),
]


def written(folder: Path, entries: list[SideInput] = ENTRIES) -> SideInputLog:
    log = SideInputLog(folder)
    log.append(entries)
    return log


def test_entries_come_back_numbered_from_where_the_state_stands(tmp_path: Path) -> None:
    written(tmp_path).close()
    assert list(read_side_inputs(tmp_path)) == ENTRIES
    for seen in range(len(ENTRIES) + 1):
        log = SideInputLog(tmp_path, seen)
        assert log.count == len(ENTRIES)
        assert list(log.unseen) == list(enumerate(ENTRIES, start=1))[seen:]
        log.close()
    assert list(read_side_inputs(tmp_path / "nowhere")) == []


def test_segments_are_read_as_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dyngraph.side_inputs.SEGMENT_BYTES", 1)
    log = SideInputLog(tmp_path)
    for entry in ENTRIES:
        log.append([entry])
    log.close()
    assert len(list(tmp_path.iterdir())) == len(ENTRIES)
    assert list(read_side_inputs(tmp_path)) == ENTRIES
    log = SideInputLog(tmp_path, 3)
    assert [number for number, _ in log.unseen] == [4, 5]
    log.blank("ann")
    log.close()
    assert list(read_side_inputs(tmp_path)) == [*ENTRIES[:2], BLANK, *ENTRIES[3:]]


def test_an_end_torn_at_any_byte_is_dropped_and_written_over(tmp_path: Path) -> None:
    written(tmp_path / "whole").close()
    (segment,) = (tmp_path / "whole").iterdir()
    whole = segment.read_bytes()
    for end in range(whole[:-1].rindex(b"\n") + 1, len(whole)):
        folder = tmp_path / f"torn-{end}"
        folder.mkdir()
        (folder / segment.name).write_bytes(whole[:end])
        log = SideInputLog(folder, 2)
        assert (log.count, [one for _, one in log.unseen]) == (4, ENTRIES[2:4])
        log.append(ENTRIES[4:])
        log.close()
        assert list(read_side_inputs(folder)) == ENTRIES


def test_a_broken_line_before_the_last_is_refused_with_its_number(tmp_path: Path) -> None:
    written(tmp_path).close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"rain", b"snow"))
    with pytest.raises(JournalError, match="line 3: the checksum does not match"):
        SideInputLog(tmp_path)


def test_a_batch_that_a_full_disk_cuts_short_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path, ENTRIES[:2])
    write, calls = os.write, iter(range(100))

    def runs_full(file: int, data: memoryview) -> int:
        if next(calls):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", runs_full)
        with pytest.raises(OSError, match="No space"):
            log.append(ENTRIES[2:])
    log.append(ENTRIES[3:])
    log.close()
    assert list(read_side_inputs(tmp_path)) == [*ENTRIES[:2], *ENTRIES[3:]]


def test_blanking_leaves_no_byte_of_the_user_and_every_number_in_its_place(tmp_path: Path) -> None:
    log = written(tmp_path)
    log.append([profile("ann", "moved to the hills", ts=9), profile('an"n', "somebody else")])
    log.blank("ann")
    log.append([SideInput(item=Item("milk"))])
    log.close()
    left = list(read_side_inputs(tmp_path))
    assert [place for place, one in enumerate(left) if one == BLANK] == [2, 5]
    assert left[6:] == [profile('an"n', "somebody else"), SideInput(item=Item("milk"))]
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*"))
    assert b"rain" not in everything
    assert b"hills" not in everything
    assert b"sun" in everything


def test_what_a_crash_left_of_a_rewriting_is_cleared_away(tmp_path: Path) -> None:
    written(tmp_path).close()
    (tmp_path / "00000000000000000000.new").write_bytes(b"half of it, with ann's phrases")
    log = SideInputLog(tmp_path)
    assert log.count == len(ENTRIES)
    assert len(list(tmp_path.iterdir())) == 1


def test_numbers_go_on_where_the_folder_was_removed_under_a_snapshot(tmp_path: Path) -> None:
    log = SideInputLog(tmp_path, 40)
    log.append(ENTRIES[:1])
    assert log.count == 41
    log.close()
    assert list(SideInputLog(tmp_path, 40).unseen) == [(41, ENTRIES[0])]


@pytest.mark.parametrize("count", [2, 9])
def test_a_step_that_had_seen_what_is_not_there_stops_before_anything_changes(tmp_path: Path, count: int) -> None:
    written(tmp_path).close()
    graph = DynamicGraph(2, 2)
    intake = Intake(tmp_path, graph, 3)
    with pytest.raises(JournalError, match=rf"says that {count} side inputs .* the state has seen 3 .* restore"):
        intake.follow(count)
    assert (intake.seen, len(graph.catalogue)) == (3, 0)
    intake.follow(5)
    assert graph.catalogue.get("jam") == ENTRIES[4].item
