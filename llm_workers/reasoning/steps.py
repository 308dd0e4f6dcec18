"""A user's steps while they grow: appended one by one, the newest kept, paths and chains read off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dyngraph.reasoning import NO_STEP, Step


class Steps:
    """At most ``most`` steps, oldest first; whatever came from one that is gone opens its chain now."""

    def __init__(self, steps: Iterable[Step], most: int) -> None:
        self.most = most
        self.all: list[Step] = []
        for step in steps:
            self.append(step)

    def append(self, step: Step) -> None:
        """Add the newest one."""
        if not NO_STEP <= step.came_from < len(self.all):
            raise ValueError(
                f"came_from = {step.came_from}: a step goes on from one of the {len(self.all)} before it, or from -1"
            )
        self.all.append(step)
        if len(self.all) > self.most:
            self.all = [moved(step) for step in self.all[1:]]

    def path(self, place: int) -> tuple[Step, ...]:
        """The chain that ends with the step at ``place``, oldest first; none for -1."""
        found = []
        while place != NO_STEP:
            found.append(self.all[place])
            place = self.all[place].came_from
        return tuple(reversed(found))

    def place_of(self, item_id: str) -> int:
        """Of the newest step with the item, -1 if there is none."""
        return next((at for at in reversed(range(len(self.all))) if self.all[at].item_id == item_id), NO_STEP)

    def ends(self) -> list[int]:
        """Places of the steps that nothing goes on from, the newest first."""
        went_on = {step.came_from for step in self.all}
        return [place for place in reversed(range(len(self.all))) if place not in went_on]

    def concepts(self) -> tuple[str, ...]:
        """The distinct ones, in order of appearance."""
        return concepts_of(self.all)


def moved(step: Step) -> Step:
    """A step after the oldest of all is gone."""
    return msgspec.structs.replace(step, came_from=max(step.came_from - 1, NO_STEP))


def concepts_of(steps: Sequence[Step]) -> tuple[str, ...]:
    """The distinct concepts of steps, in order of appearance."""
    return tuple(dict.fromkeys(step.concept for step in steps if step.concept))
