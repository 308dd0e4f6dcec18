"""Random streams with everything that goes wrong in real ones: repeats, ties, late events, newcomers, erasures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from reference.tgn import Event

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

GAPS = (0, 0, 1, 999, MINUTE_MS, HOUR_MS, 3 * DAY_MS, -HOUR_MS)
"""Time since the event before, ms: half are ties or nearly so, one is late."""


@dataclass(frozen=True)
class Erase:
    """An erasure between two batches."""

    user: str


Stream = Sequence[Sequence[Event] | Erase]


@st.composite
def streams(draw: st.DrawFn, *, features: int = 0, batches: int = 6, size: int = 7) -> list[list[Event] | Erase]:
    """Up to ``batches`` batches of up to ``size`` events, erasures in between; ``features`` numbers per event.

    Few nodes, so that most batches repeat some; the later a batch, the more nodes there are to choose from. The
    places of a batch's events in the log are not in the order of their times.
    """
    stream: list[list[Event] | Erase] = []
    ts, seq, known = START_MS, draw(st.sampled_from((0, 7))), set[str]()
    for number in range(draw(st.integers(1, batches))):
        users, items = st.integers(1, 2 + number), st.integers(1, 1 + 2 * number)
        batch: list[Event] = []
        for _ in range(draw(st.integers(1, size))):
            ts = max(ts + draw(st.sampled_from(GAPS)), 0)
            vector = tuple(
                draw(st.lists(st.sampled_from((-1.5, 0.0, 0.25, 2.0)), min_size=features, max_size=features))
            )
            kind, value = draw(st.integers(1, 8)), draw(st.sampled_from((0.0, 1.0, -2.5, 40.0)))
            batch.append(Event(seq, f"u{draw(users)}", f"i{draw(items)}", kind, ts, value, vector))
            seq += draw(st.sampled_from((1, 1, 3)))
        stream.append(batch)
        known |= {event.user for event in batch}
        if draw(st.integers(0, 4)) == 0:
            user = draw(st.sampled_from(sorted(known)))
            known.discard(user)
            stream.append(Erase(user))
    return stream


def moments(batch: Sequence[Event]) -> list[tuple[int, int]]:
    """Times to ask at: right after the batch, in its middle, at its first event, and much later."""
    middle, last = batch[len(batch) // 2], max(batch, key=lambda event: (event.ts, event.seq))
    return [
        (last.ts, last.seq + 1),
        (middle.ts, middle.seq),
        (min(event.ts for event in batch), min(event.seq for event in batch)),
        (last.ts + 40 * DAY_MS, 0),
    ]


def long_stream(events: int, size: int, features: int = 0, *, seed: int = 0) -> list[list[Event] | Erase]:
    """A stream of the same kind that is always the same, in batches of ``size``; one user is erased half-way."""
    rng, stream, ts = random.Random(seed), list[list[Event] | Erase](), START_MS
    for start in range(0, events, size):
        batch: list[Event] = []
        for seq in range(start, start + size):
            ts += rng.choice(GAPS)
            user, item = f"u{rng.randint(1, 3 + seq // 8)}", f"i{rng.randint(1, 2 + seq // 6)}"
            vector = tuple(rng.choice((-1.5, 0.0, 0.25, 2.0)) for _ in range(features))
            batch.append(Event(seq, user, item, rng.randint(1, 8), ts, rng.choice((0.0, 1.0, -2.5, 40.0)), vector))
        stream.append(batch)
        if start < events // 2 <= start + size:
            stream.append(Erase(batch[0].user))
    return stream
