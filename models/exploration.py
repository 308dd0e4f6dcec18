"""One place of a list for what nobody knows yet: a bandit over new items, with the exact chance of every choice.

The log does not say which lists were made, and a list must follow from the state alone. So the choice for a user is
drawn from nothing but the seed, the user and the number of events the user had: it holds until the user acts again, a
list can be made again, and the step that takes in an event can tell by itself what the user is offered next.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from river import bandit
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.met import MetItems
from dyngraph.order import Moment
from dyngraph.reranking import Choice
from dyngraph.state import State

HOUR_MS = 3_600_000

PRIOR_RATE, PRIOR_WEIGHT = 0.1, 5.0
"""What an arm is taken to have got before it was tried: more than most items get, so that each is tried."""

MOST_WAITING = 100_000
"""Offers whose outcome is waited for; beyond it the oldest are forgotten uncounted."""

Ints = NDArray[np.int64]


class ExplorationConfig(msgspec.Struct, frozen=True):
    """What may be set about exploration."""

    slots: int = 0
    """Places per list that are given to exploration: 0 or 1."""
    place: int = 0
    """Which place, from 1; 0 for the last."""
    epsilon: float = 0.3
    """Share of lists in which every arm has the same chance; else the best arm so far is shown."""
    arms: int = 50
    """Most items tried at a time: the newest ones."""
    most_events: int = 20
    """An item with more events than this is no longer new."""
    window_hours: float = 24.0
    """How long after an offer the user's interaction with the item still counts as its success."""


class ExplorationSlot:
    """Epsilon-greedy over the newest items, the greedy arm chosen by river's ``bandit.EpsilonGreedy``.

    An offer is the arm that a user would be shown after a step; it succeeds if the user takes the item within the
    window and fails when the window has passed. An arm that stands in the list anyway, or that filters hide, gives its
    place to another: then the list shows another arm than the step has noted. So success rates are estimates, while the
    chance told with each choice is exact. Nothing is ever offered that the user has met.

    State: successes and failures per item, and the offers that wait, in the order made.
    """

    def __init__(self, config: ExplorationConfig, met: MetItems, seed: int = 0) -> None:
        """``met`` must have observed a batch before this does. Raises ValueError for settings out of bounds."""
        _check(config)
        self.config, self._met, self._seed = config, met, seed
        self._hits, self._misses = Growable((), torch.int64), Growable((), torch.int64)
        self._waiting: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._learned: tuple[bytes, Any] = (b"", None)
        self.grow(1, 1)

    @property
    def place(self) -> int:
        """The place of a list that is given away, from 1; 0 for the last."""
        return self.config.place

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._hits.grow(items)
        self._misses.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._hits.truncate(items)
        self._misses.truncate(items)

    # -- choosing ---------------------------------------------------------------------------------------------

    def propose(self, graph: DynamicGraph) -> Tensor:
        """The arms ``[m]`` (rows), newest first."""
        return torch.from_numpy(self._arms(graph.items.events.cpu().numpy()))

    def choose(self, graph: DynamicGraph, user: int, at: Moment, shown: Tensor, candidates: Tensor) -> Choice | None:
        """One of the arms among ``candidates [n]``, as :class:`dyngraph.reranking.Explorer` says.

        With n arms left, each has the chance epsilon / n, and the best of them 1 - epsilon more.
        """
        arms = self._arms(graph.items.events.cpu().numpy())
        arms = arms[np.isin(arms, candidates.numpy()) & ~np.isin(arms, shown.numpy())]
        if not user:  # a stranger has no events to count; the moment alone decides
            return self._draw(arms, _key(self._seed, *at))
        unmet = self._unmet(torch.tensor([user]), arms)[0]
        return self._draw(arms[unmet], _key(self._seed, user, int(graph.users.events[user])))

    def _arms(self, events: Ints) -> Ints:
        """Rows by age, from the newest on, given the ``events [items]`` of each."""
        newest = np.arange(len(events) - 1, max(len(events) - 1 - self.config.arms, 0), -1)
        return newest[events[newest] <= self.config.most_events]

    def _unmet(self, users: Tensor, arms: Ints) -> NDArray[np.bool_]:
        """``[U, A]`` which of ``arms [A]`` each of ``users [U]`` has not met."""
        return (self._met.kinds(users, torch.from_numpy(arms).expand(len(users), -1)) == 0).numpy()

    def _draw(self, arms: Ints, key: int) -> Choice | None:
        """The arm that ``key`` gives. Each arm has a number of its own that does not depend on the others, so a draw
        from fewer arms mostly gives the same one, if it is among them.
        """
        if not len(arms):
            return None
        best = self._policy().pull(arms.tolist())
        numbers = _numbers(key, np.concatenate(([0], arms)))
        uniformly = numbers[0] < self.config.epsilon * 2.0**64
        row = int(arms[numbers[1:].argmin()]) if uniformly else best
        epsilon = self.config.epsilon
        return Choice(row, min(epsilon / len(arms) + (1 - epsilon) * (row == best), 1.0))

    def _policy(self) -> Any:
        """river's greedy policy, taught all that is known of the arms that may be drawn.

        It is made from counts alone, so that it is the same after a restart, whatever order things happened in.
        """
        first = max(len(self._hits) - self.config.arms, 1)
        hits, misses = self._hits.rows[first:], self._misses.rows[first:]
        known = struct.pack("<q", first) + hits.tobytes() + misses.tobytes()
        if self._learned[0] != known:
            policy = bandit.EpsilonGreedy(epsilon=0.0)
            for row, hit, miss in zip(range(first, len(self._hits)), hits.tolist(), misses.tolist(), strict=True):
                policy.update(row, PRIOR_RATE, PRIOR_WEIGHT)
                policy.update(row, 1.0, hit)
                policy.update(row, 0.0, miss)
            self._learned = (known, policy)
        return self._learned[1]

    # -- learning ---------------------------------------------------------------------------------------------

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count offers taken and offers whose window has passed, then note what the batch's users are offered next."""
        wanted = batch.positive.tolist()
        users, items, ts = batch.users.tolist(), batch.items.tolist(), batch.ts.tolist()
        for user, item, moment, positive in zip(users, items, ts, wanted, strict=True):
            offered = self._waiting.get((user, item)) if positive else None
            if offered is not None and offered <= moment <= offered + self._window:
                del self._waiting[user, item]
                self._hits.rows[item] += 1
        newest = int(batch.ts.max())
        self._expire(newest)
        counted = np.bincount(items, minlength=graph.sizes()[1])
        arms = self._arms(graph.items.events.cpu().numpy() + counted)
        had = graph.users.events.cpu().numpy()
        touched, own = np.unique(users, return_counts=True)
        unmet = self._unmet(torch.from_numpy(touched), arms)
        for user, events, free in zip(touched.tolist(), (had[touched] + own).tolist(), unmet, strict=True):
            choice = self._draw(arms[free], _key(self._seed, user, events))
            if choice is not None:
                self._waiting.setdefault((user, choice.row), newest)
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)

    @property
    def _window(self) -> int:
        return round(self.config.window_hours * HOUR_MS)

    def _expire(self, now: int) -> None:
        """Offers are in the order of their time, but for late events: those wait for the ones before them."""
        while self._waiting:
            (_, item), offered = next(iter(self._waiting.items()))
            if offered + self._window >= now:
                return
            self._waiting.popitem(last=False)
            self._misses.rows[item] += 1

    def forget_user(self, user: int) -> None:
        """Drop the user's waiting offers; what is counted names nobody."""
        for pair in [pair for pair in self._waiting if pair[0] == user]:
            del self._waiting[pair]

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Counts, and the waiting offers ``[n, 3]`` (user, item, ms)."""
        waiting = [[user, item, offered] for (user, item), offered in self._waiting.items()]
        offers = torch.tensor(waiting, dtype=torch.int64).reshape(-1, 3)
        return {"hits": self._hits.view, "misses": self._misses.view, "waiting": offers}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._hits.replace(state["hits"])
        self._misses.replace(state["misses"])
        self._waiting = OrderedDict(((user, item), offered) for user, item, offered in state["waiting"].tolist())


def _check(config: ExplorationConfig) -> None:
    for name, fits, rule in (
        ("slots", config.slots in (0, 1), "0 (off) or 1"),
        ("place", config.place >= 0, "1 or more, or 0 for the last place"),
        ("epsilon", 0 < config.epsilon <= 1, "more than 0 (or no choice could be judged by another) up to 1"),
        ("arms", config.arms >= 1, "1 or more"),
        ("most_events", config.most_events >= 0, "0 or more"),
        ("window_hours", config.window_hours > 0, "more than 0"),
    ):
        if not fits:
            raise ValueError(f"exploration: {name} = {getattr(config, name)} is out of bounds; use {rule}")


def _key(*numbers: int) -> int:
    """64 bits that depend on all of ``numbers``."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _numbers(key: int, places: Ints) -> NDArray[np.uint64]:
    """Uniform 64-bit numbers at ``places`` of the sequence of ``key``: SplitMix64 (Steele, Lea and Flood 2014)."""
    z = np.uint64(key) + places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
