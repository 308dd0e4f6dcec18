"""What may enter the graph: every event once, none from the future, none from too far back."""

from __future__ import annotations

import pytest

from dyngraph.admission import Admission, AdmissionConfig, LogRecord
from dyngraph.events import EventType, Interaction

NOW = 1_700_000_000_000
LIMITS = AdmissionConfig(allowed_lateness_ms=1_000, allowed_lead_ms=100, dedupe_window=3)


def record(offset: int, name: str, ts: int = NOW, received: int | None = None) -> LogRecord:
    interaction = Interaction(name, "ann", "tea", EventType.VIEW, ts)
    return LogRecord(offset, ts if received is None else received, interaction)


def admitted(admission: Admission, *records: LogRecord) -> list[int]:
    judged = admission.judge(list(records))
    admission.keep(judged)
    accepted = judged.accepted
    return [offset for offset, _ in accepted]


def test_an_event_id_enters_once() -> None:
    admission = Admission(LIMITS)
    assert admitted(admission, record(0, "a"), record(1, "b"), record(2, "a")) == [0, 1]
    assert admitted(admission, record(3, "b"), record(4, "c")) == [4]
    assert admission.duplicates == 2


def test_only_as_many_ids_are_remembered_as_the_window_holds() -> None:
    admission = Admission(LIMITS)
    assert admitted(admission, *(record(offset, name) for offset, name in enumerate("abcd"))) == [0, 1, 2, 3]
    assert admitted(admission, record(4, "d"), record(5, "c"), record(6, "b")) == []
    assert admitted(admission, record(7, "a")) == [7]
    assert sum(value.numel() for value in admission.state().values()) < 20


@pytest.mark.parametrize(("lead", "enters"), [(100, True), (101, False)])
def test_an_event_may_be_only_so_far_ahead_of_the_broker(lead: int, enters: bool) -> None:
    admission = Admission(LIMITS)
    judged = admission.judge([record(5, "a", NOW + lead, received=NOW)])
    admission.keep(judged)
    accepted, rejections = judged.accepted, judged.rejected
    assert bool(accepted) == enters
    assert [(rejection.offset, rejection.code) for rejection in rejections] == ([] if enters else [(5, "in_future")])


@pytest.mark.parametrize(("lag", "enters", "late"), [(0, True, 0), (1, True, 1), (1_000, True, 1), (1_001, False, 0)])
def test_an_event_may_be_only_so_late(lag: int, enters: bool, late: int) -> None:
    admission = Admission(LIMITS)
    judged = admission.judge([record(0, "a"), record(1, "b", NOW - lag)])
    admission.keep(judged)
    accepted, rejections = judged.accepted, judged.rejected
    assert len(accepted) == 1 + enters
    assert [(rejection.offset, rejection.code) for rejection in rejections] == ([] if enters else [(1, "too_late")])
    assert admission.late == late
    assert admission.rejected == (not enters)


def test_rejected_events_neither_move_the_watermark_nor_are_remembered() -> None:
    admission = Admission(LIMITS)
    admission.keep(admission.judge([record(0, "a"), record(1, "b", NOW + 60_000, received=NOW)]))
    assert admission.watermark == NOW - 1_000
    assert admitted(admission, record(2, "b")) == [2]


def test_records_refused_before_the_graph_are_passed_over() -> None:
    assert admitted(Admission(LIMITS), LogRecord(0, NOW, None), record(1, "a")) == [1]


@pytest.mark.parametrize("names", [["a", "b"], ["", "x"], [""], ["with\0null", "ü", "x" * 300], []])
def test_a_restored_window_refuses_what_the_former_refused(names: list[str]) -> None:
    admission, again = Admission(LIMITS), Admission(LIMITS)
    admission.keep(admission.judge([record(offset, name) for offset, name in enumerate(names)]))
    again.load_state(admission.state())
    assert again.watermark == admission.watermark
    assert admitted(again, *(record(10 + offset, name) for offset, name in enumerate(names))) == []
    assert admitted(again, record(20, "new")) == [20]
