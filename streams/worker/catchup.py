"""When a shard has caught up with the log, and what was touched on the way.

A worker that starts behind would otherwise publish thousands of outdated lists, one per old event. So each
shard notes the log's end at its assignment; until it is there it publishes no list, trigger or metric, and
then one list for each user it touched.
"""

from __future__ import annotations

from collections.abc import Iterable

from dyngraph.shard import Shard


class CatchUp:
    """The way of one shard to the log end seen at its assignment."""

    def __init__(self) -> None:
        self.target = 0
        """The first offset that need not be applied; 0 before an assignment and for an empty log."""
        self.done = False
        self._touched: dict[str, None] = {}

    def begin(self, log_end: int) -> None:
        """A new assignment: the log ends at `log_end` (the next offset to be written)."""
        self.target = log_end
        self.done = False

    def touch(self, users: Iterable[str]) -> None:
        """Note users whose list is due at the end."""
        self._touched.update(dict.fromkeys(users))

    def reached(self, shard: Shard) -> bool:
        """Whether everything that can be applied up to the target has been.

        With fixed batching a step that the log does not hold whole yet cannot be applied, so it does not
        count.
        """
        first = shard.applied_offset + 1
        if first >= self.target:
            return True
        border = shard.next_border(first)
        return border is not None and border >= self.target

    def finish(self) -> dict[str, None]:
        """Mark as caught up; the users who get a list now. Their events are old: None is their time."""
        self.done = True
        touched, self._touched = self._touched, {}
        return touched
