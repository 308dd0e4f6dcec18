"""Examples that wait for an update, and past ones that are learned from again so that the new do not erase the old."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.state import State
from models.tgn.examples import Examples, each, flat, restored, together, without_user


class Past:
    """Waiting examples, and a uniform sample (a reservoir; Vitter 1985, algorithm R) of ``capacity`` learned ones."""

    def __init__(self, capacity: int, seed: int) -> None:
        self._capacity, self._seed = capacity, seed
        self.waiting: Examples | None = None
        """Examples that no update has learned from yet."""
        self._kept: Examples | None = None
        self._offered = 0

    def __len__(self) -> int:
        """Past examples kept."""
        return 0 if self._kept is None else self._kept.events

    def with_(self, more: Examples) -> Examples:
        """What waits, and ``more`` after it; nothing changes here."""
        return together(self.waiting, more)

    def drawn(self, events: int, share: float, generator: torch.Generator) -> Examples | None:
        """Up to ``share · events`` past examples, drawn without repeats."""
        count = min(len(self), int(share * events))
        if not count or self._kept is None:
            return None
        return self._kept.chosen(torch.randperm(len(self), generator=generator)[:count])

    def keep(self, waiting: Examples | None, learned: Examples | None) -> None:
        """Let ``waiting`` be what waits, and offer ``learned`` to the reservoir."""
        self.waiting = waiting
        if learned is None or not self._capacity:
            return
        numbers = self._offered + torch.arange(learned.events)
        self._offered += learned.events
        free = numbers < self._capacity
        # The n-th example replaces a random place of n; a hash of n instead of a generator needs no state.
        place = torch.where(free, numbers, _hashed(numbers, self._seed) % (numbers + 1))
        taken = place < self._capacity
        if bool(free.any()):
            new = learned.chosen(free.nonzero().squeeze(1))
            self._kept = new if self._kept is None else together(self._kept, new)
        for event in (taken & ~free).nonzero().squeeze(1).tolist():
            self._replace(int(place[event]), learned.chosen(torch.tensor([event])))

    def _replace(self, place: int, one: Examples) -> None:
        if self._kept is None or place >= self._kept.events:
            # An erasure has left room.
            self._kept = together(self._kept, one)
            return
        rows = {name: value for name, value in flat(one).items() if name not in ("query", "item")}
        for name, value in flat(self._kept).items():
            if name in rows:
                value[place] = rows[name][0]

    def forget_user(self, user: int) -> None:
        """Drop all examples of one user, and the user from the neighbours in those of others."""
        if self.waiting is not None:
            self.waiting = without_user(self.waiting, user)
        if self._kept is not None:
            kept = without_user(self._kept, user)
            self._kept = kept.chosen(torch.arange(kept.events)) if kept.events else None

    def state(self) -> State:
        """All examples."""
        state: State = {"offered": torch.tensor([self._offered])}
        for name, examples in (("waiting", self.waiting), ("kept", self._kept)):
            if examples is not None:
                state |= flat(examples, f"{name}.")
        return state

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._offered = int(state["offered"][0])
        waiting, kept = (
            {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            for name in ("waiting", "kept")
        )
        self.waiting = restored(waiting) if waiting else None
        self._kept = each(torch.clone, restored(kept)) if kept else None


def _hashed(numbers: Tensor, seed: int) -> Tensor:
    """Non-negative pseudo-random int64 of ``numbers [n]`` (the mixing steps of splitmix64)."""
    x = (numbers + seed) * -7046029254386353131
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        x = (x ^ (x >> shift)) * factor
    return (x ^ (x >> 31)) & 0x7FFFFFFFFFFFFFFF
