"""How side inputs enter a shard's graph: what is new is written down and applied, at a border between two steps.

While recorded steps are still to be taken again, what comes waits, for it was not there when they were first taken;
it is no part of the history yet, so it is not written down either. Then what equals the state is dropped: reading a
whole compact topic at each start adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from dyngraph.graph import DynamicGraph
from dyngraph.lines import JournalError
from dyngraph.side_inputs import SideInput, SideInputLog


class Intake:
    """The side inputs of one shard: those in its log that its state has not seen, and those that wait to be logged."""

    def __init__(self, folder: Path, graph: DynamicGraph, seen: int) -> None:
        """Of a state that has seen the first ``seen`` entries of the log in ``folder``."""
        self.seen = seen
        """Entries that the state has seen."""
        self._graph = graph
        self._log = SideInputLog(folder, seen)
        self._waiting: dict[tuple[str, ...], SideInput] = {}

    def offer(self, inputs: Iterable[SideInput]) -> None:
        """Let inputs wait for the next :meth:`take_in`."""
        for one in inputs:
            self._waiting[one.key] = one

    def take_in(self) -> None:
        """Apply everything there is, what waits too; nothing is lost if it raises OSError."""
        self._apply_unseen(len(self._log.unseen))
        new = [one for one in self._waiting.values() if self._is_new(one)]
        if new:
            self._log.append(new)
            self._apply(new)
        self._waiting.clear()
        self.seen = self._log.count

    def follow(self, count: int) -> None:
        """Apply what a recorded step had seen: the entries up to number ``count``.

        Raises JournalError if they are not there, or the state has seen more; nothing has changed then.
        """
        between = count - self.seen
        numbers = [number for number, _ in islice(self._log.unseen, max(between, 0))]
        if between < 0 or numbers != list(range(self.seen + 1, count + 1)):
            raise JournalError(
                f"the step journal says that {count} side inputs had been seen, but the state has seen {self.seen} "
                f"and {self._log.folder} has {len(numbers)} of those in between: restore that folder, or remove the "
                "folder of the journal to have the steps since the newest snapshot cut anew"
            )
        self._apply_unseen(between)
        self.seen = count

    def forget(self, user_id: str) -> None:
        """Drop what is about the user from what waits and from the log, on disk too. Raises OSError."""
        self._log.blank(user_id)
        self._waiting = {key: one for key, one in self._waiting.items() if not one.of(user_id)}

    def sync(self) -> None:
        """Make the log reach the disk."""
        self._log.sync()

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _is_new(self, one: SideInput) -> bool:
        """Whether applying it would change the state; a profile or a reasoning graph that is refused is counted."""
        if one.item is not None:
            return self._graph.catalogue.get(one.item.item_id) != one.item
        if one.text is not None:
            return self._graph.texts.get(one.text.item_id) != one.text.vector
        if one.profile is not None:
            refusal, refused = self._graph.profiles.judge(one.profile), self._graph.profiles.refused
        elif one.reasoning is not None:
            refusal, refused = self._graph.reasoning.judge(one.reasoning), self._graph.reasoning.refused
        else:
            return one.relation_names not in (None, self._graph.relation_names.newest)
        if refusal not in ("", "known"):
            refused[refusal] += 1
        return not refusal

    def _apply_unseen(self, count: int) -> None:
        self._apply([self._log.unseen.popleft()[1] for _ in range(count)])

    def _apply(self, inputs: Sequence[SideInput]) -> None:
        graph = self._graph
        graph.catalogue.put(one.item for one in inputs if one.item is not None)
        graph.texts.put({one.text.item_id: one.text.vector for one in inputs if one.text is not None})
        for one in inputs:
            if one.profile is not None:
                graph.profiles.put(one.profile)
            if one.reasoning is not None:
                graph.reasoning.put(one.reasoning)
            if one.relation_names is not None:
                graph.relation_names.put(one.relation_names)
