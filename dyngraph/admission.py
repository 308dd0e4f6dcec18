"""What may enter the graph: no event twice, none from the future, none from too far back.

Decisions depend on the log and on this state only (never on a wall clock), so that recovery and replay decide alike.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch

from dyngraph.events import Interaction
from dyngraph.state import State, packed, unpacked

NEVER = -(2**62)
"""Watermark before the first event."""

MINUTE_MS = 60_000
DAY_MS = 86_400_000


class AdmissionConfig(msgspec.Struct, frozen=True):
    """Limits in ms and events."""

    allowed_lateness_ms: int = 7 * DAY_MS
    """How far behind the newest accepted event an event may be."""
    allowed_lead_ms: int = 5 * MINUTE_MS
    """How far ahead of the broker's timestamp an event may be."""
    dedupe_window: int = 200_000
    """How many accepted event ids are remembered."""


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One place in a shard's log. ``interaction`` is None where the record was refused before the graph."""

    offset: int
    received: int
    """Broker timestamp, ms; also the reference for "in the future"."""
    interaction: Interaction | None


class Rejection(NamedTuple):
    """Why a record did not enter."""

    offset: int
    code: str
    message: str


class Judgement(NamedTuple):
    """What a shard decided about the records of one step."""

    accepted: list[tuple[int, Interaction]]
    """``(offset, interaction)``, in offset order."""
    rejected: list[Rejection]
    duplicates: int
    late: int
    """Accepted although older than an event before them."""
    newest: int
    """Newest accepted event time after these records."""


class Admission:
    """Watermark and dedupe window of one shard."""

    def __init__(self, config: AdmissionConfig) -> None:
        self.config = config
        self._newest = NEVER
        self._ids: OrderedDict[str, None] = OrderedDict()
        self.duplicates = self.late = self.rejected = 0

    @property
    def watermark(self) -> int:
        """Newest accepted event time less the allowed lateness, ms."""
        return self._newest - self.config.allowed_lateness_ms

    def judge(self, records: Sequence[LogRecord]) -> Judgement:
        """Say what may enter of ``records`` (in offset order). Nothing is remembered before :meth:`keep`.

        Duplicates and records without an interaction are neither accepted nor rejected.
        """
        accepted: list[tuple[int, Interaction]] = []
        rejected: list[Rejection] = []
        fresh: set[str] = set()
        newest, duplicates, late = self._newest, 0, 0
        for record in records:
            event = record.interaction
            if event is None:
                continue
            if event.event_id in self._ids or event.event_id in fresh:
                duplicates += 1
                continue
            rejection = self._refuse(record, event, newest)
            if rejection is not None:
                rejected.append(rejection)
                continue
            late += event.ts < newest
            newest = max(newest, event.ts)
            fresh.add(event.event_id)
            accepted.append((record.offset, event))
        return Judgement(accepted, rejected, duplicates, late, newest)

    def keep(self, judgement: Judgement) -> None:
        """Remember what was judged: the step that it was for is done."""
        self._newest = judgement.newest
        self.duplicates += judgement.duplicates
        self.late += judgement.late
        self.rejected += len(judgement.rejected)
        for _, event in judgement.accepted:
            self._ids[event.event_id] = None
        while len(self._ids) > self.config.dedupe_window:
            self._ids.popitem(last=False)

    def _refuse(self, record: LogRecord, event: Interaction, newest: int) -> Rejection | None:
        lead = event.ts - record.received
        if lead > self.config.allowed_lead_ms:
            return Rejection(
                record.offset,
                "in_future",
                f"ts_ms {event.ts} is {lead} ms ahead of the broker's time {record.received}; at most "
                f"{self.config.allowed_lead_ms} ms are allowed: check the producer's clock and unit (milliseconds)",
            )
        watermark = newest - self.config.allowed_lateness_ms
        if event.ts < watermark:
            return Rejection(
                record.offset,
                "too_late",
                f"ts_ms {event.ts} is below the watermark {watermark} (newest accepted {newest} less "
                f"{self.config.allowed_lateness_ms} ms); load history with `evergraph replay --snapshot`",
            )
        return None

    def state(self) -> State:
        """Watermark, counters and the window, oldest id first."""
        counters = torch.tensor([self._newest, self.duplicates, self.late, self.rejected])
        return {"counters": counters} | packed(list(self._ids))

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._newest, self.duplicates, self.late, self.rejected = state["counters"].tolist()
        self._ids = OrderedDict.fromkeys(unpacked(state))
