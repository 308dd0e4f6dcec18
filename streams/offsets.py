"""Where to start reading, in the words a person types, and where a log ends, on every broker we run on.

    earliest | latest | ts=2011-01-01T00:00 | ts=1293840000000 | last=1h

Times are the records' timestamps (when they reached Kafka), not the event times inside. Naive times are UTC.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from kafka import KafkaConsumer, TopicPartition

from dyngraph.events import MAX_TS_MS
from streams.broker import BrokerError

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d{1,15})(ms|s|m|h|d|w)")
GRAMMAR = (
    "earliest, latest, ts=2011-01-01T00:00 (UTC unless it says otherwise), ts=1293840000000 (ms), "
    "last=1h (ms s m h d w)"
)

HIGHWATER_WITHIN_S = 10.0


class BadStart(ValueError):
    """Raised for a starting place that does not follow the grammar."""


@dataclass(frozen=True)
class Start:
    """A parsed starting place. `since_ms` is set for `time` only: the first record timestamp wanted."""

    kind: Literal["earliest", "latest", "time"]
    since_ms: int | None = None

    def admits(self, timestamp_ms: int) -> bool:
        """Whether a record with this timestamp is wanted (not every broker finds the exact place)."""
        return self.since_ms is None or timestamp_ms >= self.since_ms


def parse_start(text: str, *, now_ms: int | None = None) -> Start:
    """Parse the grammar above. Raises `BadStart`."""
    kind, equals, rest = text.strip().partition("=")
    if not equals and kind == "earliest":
        return Start("earliest")
    if not equals and kind == "latest":
        return Start("latest")
    if kind == "ts" and rest:
        return Start("time", _moment(rest))
    if kind == "last" and rest:
        now = int(time.time() * 1000) if now_ms is None else now_ms
        return Start("time", max(0, now - _duration(rest)))
    raise BadStart(f"--from {text!r}: not understood; use one of: {GRAMMAR}")


def _moment(text: str) -> int:
    if text.isascii() and text.isdigit():
        if len(text) > 18:
            raise BadStart(f"--from ts={text}: out of range; give milliseconds since 1970")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadStart(f"--from ts={text}: neither milliseconds nor an ISO time; use one of: {GRAMMAR}") from None
    since = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if since < 0:
        raise BadStart(f"--from ts={text}: before 1970; Kafka keeps no such time")
    return since


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadStart(f"--from last={text}: not a duration; a number and one of ms s m h d w, for example last=90m")
    return int(match[1]) * _UNIT_MS[match[2]]


def resolve(consumer: KafkaConsumer, partitions: Iterable[TopicPartition], start: Start) -> dict[TopicPartition, int]:
    """The offset to begin at in each partition, or one before it: ask `start.admits` of what comes."""
    wanted = list(partitions)
    if start.kind == "latest":
        return end_offsets(consumer, wanted)
    begin: dict[TopicPartition, int] = consumer.beginning_offsets(wanted)
    if start.since_ms is None or not all(_finds_times(consumer, tp) for tp in wanted):
        return begin
    found = consumer.offsets_for_times(dict.fromkeys(wanted, start.since_ms))
    ends = end_offsets(consumer, wanted)
    # No record that late yet: begin at the end.
    return {tp: ends[tp] if found[tp] is None else found[tp].offset for tp in wanted}


def _finds_times(consumer: KafkaConsumer, partition: TopicPartition) -> bool:
    """Whether the broker finds offsets by record timestamp."""
    # The embedded one goes by when a batch was stored, and gives itself away: asked for a time after every
    # record it answers with an offset (that has no timestamp), where Kafka answers with none.
    found = consumer.offsets_for_times({partition: MAX_TS_MS})[partition]
    return found is None or found.timestamp >= 0


def end_offsets(
    consumer: KafkaConsumer, partitions: Iterable[TopicPartition], *, within_s: float = HIGHWATER_WITHIN_S
) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition. Assigns and seeks: call it before reading.

    The embedded broker's ListOffsets answers with the *first* offset of the last batch plus one, which is too
    low by the size of that batch. Its fetch answers carry the true high watermark, so each non-empty
    partition is asked for its last record.
    """
    wanted = list(partitions)
    listed: dict[TopicPartition, int] = consumer.end_offsets(wanted)
    begin: dict[TopicPartition, int] = consumer.beginning_offsets(wanted)
    asked = [tp for tp in wanted if listed[tp] > begin[tp]]
    ends = dict(listed)
    if not asked:
        return ends
    consumer.assign(asked)
    for tp in asked:
        consumer.seek(tp, listed[tp] - 1)
    deadline = time.monotonic() + within_s
    missing = set(asked)
    while missing and time.monotonic() < deadline:
        consumer.poll(timeout_ms=100)
        for tp in list(missing):
            high = consumer.highwater(tp)
            if high is not None and high >= listed[tp]:
                ends[tp] = high
                missing.discard(tp)
    if missing:
        raise BrokerError(f"{missing.pop()}: the broker did not tell the log's end within {within_s:g} s; try again")
    return ends
