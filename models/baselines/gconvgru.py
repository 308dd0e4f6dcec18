"""A snapshot graph network on a stream: the discrete-time opposite of a continuous-time dynamic graph."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.baselines.contrast import sampled_softmax
from models.baselines.growing_adam import GrowingAdam
from models.baselines.popularity import Popularity
from models.baselines.recommender import Basket, Setting
from models.baselines.snapshot_network import Snapshot, SnapshotNetwork, States, snapshot

_DAY_MS = 86_400_000


class SnapshotGraph:
    """Link prediction between snapshots by GConvGRU; what happened since the last closed snapshot is not seen.

    The log is cut at multiples of ``interval_days``; an interval with fewer than ``least`` events runs on into the
    next. When a snapshot closes, the network is trained with ``updates`` steps of Adam at ``lr``: from the states
    before the ``unroll`` snapshots that came last it steps through these, and the interactions of each are to be told
    from the states before it, against ``negatives`` items drawn evenly. Then all states are made anew with the new
    weights. Updates count snapshots, never seconds.

    An item's score is the product of user and item vectors (embedding plus state, ``width`` wide), plus a learned
    bias, plus log(1 + count) as of the last closed snapshot. Users start at zero, so that a user of whom no closed
    snapshot tells is given what is popular. ``order`` is the reach K of the Chebyshev filters, ``std`` that of the
    items' first embeddings. Before the first snapshot closes, items stand in order of popularity. The defaults were
    picked from 11 trials on events 40 to 50 % of ml-100k and bundled retail.

    Raises ValueError for settings with which nothing would be learned.
    """

    name = "gconvgru"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {
        "interval_days": (1 / 24, 1.0, 7.0),
        "lr": (0.001, 0.003, 0.01),
        "unroll": (1, 3, 6),
        "updates": (3, 6),
    }

    def __init__(
        self,
        *,
        width: int = 32,
        order: int = 2,
        interval_days: float = 1.0,
        least: int = 100,
        unroll: int = 3,
        updates: int = 6,
        lr: float = 0.003,
        negatives: int = 256,
        std: float = 0.1,
        seed: int = 0,
    ) -> None:
        counts = {"order": order, "least": least, "unroll": unroll, "updates": updates, "negatives": negatives}
        for setting, count in counts.items():
            if count < 1:
                raise ValueError(f"{setting} = {count} leaves nothing to learn; use 1 or more")
        self._interval = round(interval_days * _DAY_MS)
        if self._interval < 1:
            raise ValueError(f"interval_days = {interval_days} is no stretch of time; use more than 0")
        self.settings: dict[str, Setting] = {
            "width": width,
            "interval_days": interval_days,
            **counts,
            "lr": lr,
            "std": std,
            "seed": seed,
        }
        self._least, self._updates, self._negatives, self._std = least, updates, negatives, std
        self._generator = torch.Generator().manual_seed(seed)
        # torch's layers draw their first weights from the one global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = SnapshotNetwork(width=width, order=order)
        self._adam = GrowingAdam(self._network.parameters(), lr=lr, fused=True)
        self._users = self._items = 1
        self._popularity = Popularity()
        self._open: list[tuple[int, int]] = []
        self._interval_now = 0
        self._recent: deque[tuple[Snapshot, Tensor]] = deque(maxlen=unroll + 1)
        """Closed snapshots, each with the log counts of before it: its own must not help to tell it."""
        self._before = self._states = States(torch.zeros(1, width), torch.zeros(1, width))
        """The states before the recent snapshots and after them."""
        self._counts = torch.zeros(0)
        """``[n]`` log(1 + count) of items as of the last closed snapshot; 0 beyond, and empty before there is one."""

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """As of the last closed snapshot, whatever ``ts``: snapshots are closed by what is learned."""
        if not len(self._counts):
            return self._popularity.scores(user, ts)
        with torch.inference_mode():
            vector = self._vectors.users[user] if user < self._users else torch.zeros(self._vectors.users.shape[1])
            products = self._vectors.items[: self._items] @ vector
            scores: NDArray[np.float64] = (products + self._offsets[: self._items]).double().numpy()
        return scores

    def learn(self, basket: Basket) -> None:
        """Close the open snapshot if the basket lies beyond it, then put the basket into the open one.

        Refusals are no edges.
        """
        interval = basket.ts // self._interval
        if interval != self._interval_now and len(self._open) >= self._least:
            self._close()
        self._interval_now = interval
        self.follow(basket)
        self._popularity.learn(basket)
        self._open.extend((basket.user, item) for item in basket.items[basket.sign > 0].tolist())

    def follow(self, basket: Basket) -> None:
        """Grow; what a user does reaches the states through a closed snapshot only."""
        self._popularity.follow(basket)
        self._users = max(self._users, basket.user + 1)
        self._items = max(self._items, int(basket.items.max()) + 1)
        network, adam, generator = self._network, self._adam, self._generator
        grew = adam.make_room(network.users, self._users, 0.0, generator)
        grew |= adam.make_room(network.items, self._items, self._std, generator)
        grew |= adam.make_room(network.bias, self._items, 0.0, generator)
        if grew:
            self._before, self._states = network.resized(self._before), network.resized(self._states)
            if len(self._counts):
                self._show()

    def _close(self) -> None:
        if len(self._recent) == self._recent.maxlen:
            with torch.no_grad():
                self._before = self._network(self._before, self._recent[0][0])
        self._recent.append((snapshot(np.array(self._open, np.int64)), self._counts))
        self._open.clear()
        self._counts = torch.from_numpy(np.log1p(self._popularity.counts[: self._items])).float()
        if len(self._recent) > 1:
            for _ in range(self._updates):
                self._update()
        with torch.no_grad():
            self._states = self._before
            for graph, _ in self._recent:
                self._states = self._network(self._states, graph)
        self._show()

    def _show(self) -> None:
        with torch.no_grad():
            self._vectors = self._network.vectors(self._states)
            self._offsets = self._with_bias(self._counts)

    def _update(self) -> None:
        states, losses = self._before, list[Tensor]()
        for (past, _), (following, counts) in pairwise(self._recent):
            states = self._network(states, past)
            losses.append(self._loss(states, following.pairs, self._with_bias(counts)))
        self._adam.zero_grad()
        torch.autograd.backward(torch.stack(losses).mean())
        self._adam.step()

    def _loss(self, states: States, pairs: Tensor, offsets: Tensor) -> Tensor:
        users, items = self._network.vectors(states)
        drawn = torch.randint(1, self._items, (self._negatives,), generator=self._generator)
        return sampled_softmax(users[pairs[:, 0]], pairs[:, 1], drawn, items, offsets)

    def _with_bias(self, counts: Tensor) -> Tensor:
        """``[items]`` what an item scores for itself, with log counts of the first ``[n]`` items."""
        bias = self._network.bias.weight[:, 0]
        return bias + functional.pad(counts, (0, len(bias) - len(counts)))
