"""Events that were applied but may not be committed yet.

The committed Kafka offset must be that of the *oldest kept* snapshot, so an applied event waits here until a
snapshot covers it. Faust itself keeps unacknowledged messages in a weak set only: without this strong hold
they would be collected, never acknowledged, and the gap they leave at the head would block every later
commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from faust.types import EventT

RELEASE_AT_ONCE = 2_000
"""Acknowledgements per call: about 2 µs each on the event loop, and a snapshot frees tens of thousands at
once."""


class HeldEvents:
    """The delivered, handled and not yet acknowledged events of one partition, in offset order."""

    def __init__(self) -> None:
        self._held: deque[EventT] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, events: Iterable[EventT]) -> None:
        """Keep events until their offset may be committed; only the offset matters, so the payload goes."""
        for event in events:
            event.value = event.message.value = None
            event.key = event.message.key = None
            self._held.append(event)

    def release(self, commit_offset: int) -> int:
        """Acknowledge what lies below `commit_offset`, at most `RELEASE_AT_ONCE`; how many it were."""
        released = 0
        while self._held and released < RELEASE_AT_ONCE and self._held[0].message.offset < commit_offset:
            self._held.popleft().ack()
            released += 1
        return released

    def releasable(self, commit_offset: int) -> bool:
        """Whether something may be acknowledged by now."""
        return bool(self._held) and self._held[0].message.offset < commit_offset

    def forget(self) -> None:
        """Let go: after a rebalance everything from the committed offset on is delivered again."""
        self._held.clear()
