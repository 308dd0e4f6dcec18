"""Segments of users whose lists got worse: drift of the hit rate, found by river's ADWIN (Bifet and Gavaldà, 2007).

A detector of river's can only be pickled, and a recovered shard must decide as if it had never stopped. So each
detector is a function of what is kept beside it: its inputs since it was last begun anew, at most :data:`EPOCH`. When
they are that many it begins anew from the later half, and after a drift from nothing; loading a state feeds them again.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from river.drift import ADWIN

from dyngraph.state import State, packed, unpacked

BLOCK = 8
"""Events per input of a detector: their mean tells as much, at an eighth of the time."""

EPOCH = 2_000
"""Most inputs kept."""

NONE = 0
"""Number of the users without a profile, with one that names no segment, or one for which there is no room."""

NEVER = -1


class HitRate:
    """The hits of one segment, and whether they have become rarer."""

    def __init__(self, delta: float, inputs: Iterable[int] = (), begun: Iterable[bool] = ()) -> None:
        self._delta = delta
        self.begun = list(begun)
        """Hits of the block that is not full yet."""
        self._begin(list(inputs))

    def _begin(self, inputs: list[int]) -> None:
        self.inputs = inputs
        """Hits of each block since the detector was begun."""
        self._adwin = ADWIN(delta=self._delta, clock=4)
        for hits in inputs:
            self._adwin.update(hits / BLOCK)

    def take(self, hit: bool) -> bool:
        """One more event; whether a drop is found with it. A rise begins the detector anew, and is no news."""
        self.begun.append(hit)
        if len(self.begun) < BLOCK:
            return False
        self.inputs.append(sum(self.begun))
        self.begun.clear()
        self._adwin.update(self.inputs[-1] / BLOCK)
        if self._adwin.drift_detected:
            fell = self._adwin.estimation < sum(self.inputs) / len(self.inputs) / BLOCK
            self._begin([])
            return bool(fell)
        if len(self.inputs) == EPOCH:
            self._begin(self.inputs[EPOCH // 2 :])
        return False


class Segments:
    """At most ``most`` segments by name, besides :data:`NONE`; one that nobody is in makes room for another."""

    def __init__(self, most: int, delta: float) -> None:
        self._most, self._delta = most, delta
        self._names = [""]
        self._members = np.zeros(most + 1, np.int64)
        self._rates = [HitRate(delta)]
        self.fallen: NDArray[np.int64] = np.full(most + 1, NEVER)
        """``[most + 1]`` event time (ms) at which the hit rate was last found to have fallen."""
        self.drifts = 0

    def move(self, old: int, name: str) -> int:
        """A user leaves segment ``old`` for the one called ``name``; its number."""
        self.leave(old)
        number = self._number(" ".join(name.casefold().split()))
        self._members[number] += number != NONE
        return number

    def leave(self, number: int) -> None:
        """A user has gone from a segment."""
        self._members[number] -= number != NONE

    def take(self, numbers: NDArray[np.int32], hits: NDArray[np.bool_], ts: int) -> None:
        """Take in ``hits [E]`` of users who were in segments ``numbers [E]``; it is ``ts`` now (ms)."""
        for number, hit in zip(numbers.tolist(), hits.tolist(), strict=True):
            if self._rates[number].take(hit):
                self.fallen[number] = ts
                self.drifts += 1

    def _number(self, name: str) -> int:
        if name in self._names:
            return self._names.index(name)
        if len(self._names) <= self._most:
            self._names.append("")
            self._rates.append(HitRate(self._delta))
        free = np.flatnonzero(self._members[1 : len(self._names)] == 0)
        if not len(free):
            return NONE
        number = int(free[0]) + 1
        self._names[number], self._rates[number], self.fallen[number] = name, HitRate(self._delta), NEVER
        return number

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Names, members, and what the detectors are made from."""
        rates = self._rates
        return {
            "members": torch.from_numpy(self._members.copy()),
            "fallen": torch.from_numpy(self.fallen.copy()),
            "inputs": torch.tensor([hits for rate in rates for hits in rate.inputs], dtype=torch.uint8),
            "begun": torch.tensor([hit for rate in rates for hit in rate.begun], dtype=torch.bool),
            "sizes": torch.tensor([[len(rate.inputs), len(rate.begun)] for rate in rates]),
        } | {f"names.{key}": value for key, value in packed(self._names).items()}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._names = unpacked({key: state[f"names.{key}"] for key in ("bytes", "ends")})
        self._members, self.fallen = state["members"].numpy().copy(), state["fallen"].numpy().copy()
        sizes = state["sizes"].T.tolist()
        parts = [torch.split(state[name], size) for name, size in zip(("inputs", "begun"), sizes, strict=True)]
        self._rates = [HitRate(self._delta, *(part.tolist() for part in pair)) for pair in zip(*parts, strict=True)]
