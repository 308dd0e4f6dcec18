"""Item-to-item evidence from sequences: what goes with an item, and what follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.slots import SlotTable
from dyngraph.state import State, gather, scatter
from models.sources import transition_kernels as kernels
from models.sources.history import HistorySource

_KINDS = ("together_now", "together", "together_long", "follows", "follows_recent", "leads_to")
"""Six ways to weigh the evidence; see :class:`TransitionSource`."""
NOBODY: Mapping[int, float] = MappingProxyType({})
"""What nobody took: all are counted."""
_PROPOSING = ((1, 80), (2, 40), (3, 30), (4, 30))
"""Kind and how many items it proposes."""


class _Evidence(NamedTuple):
    """What the queries' recent items say of their partners, one run of partners per query."""

    recent: Tensor
    """``[U, W]`` recent items, newest first, 0 for none."""
    start: NDArray[np.int64]
    """``[U + 1]``"""
    items: NDArray[np.int64]
    """``[M]`` partner rows, distinct within a query."""
    values: NDArray[np.float32]
    """``[M, kinds]``"""


class TransitionSource:
    """Counts of item pairs within a user's last ``window`` distinct items.

    Co-occurrence counts users, not events: c(i, j) grows when a user takes one of the two for the first time with the
    other in the window; n_i is the number of users who had i. Counted by events, two items between which one user goes
    to and fro would seem to go together for everybody. Succession counts "j came right after i", s(i, j), every time;
    m_i is the number of i's events. Over the user's recent items i_p (place p, newest first) a candidate j has

    - ``together_now``, ``together``: ``Σ_p w^p · c(i_p, j) / √(n_i n_j)`` over ``window`` items, w = .5 and .85;
      ``together_long``: the same over ``reach`` items with w = .97;
    - ``follows``: ``s(i_0, j) / m_i``, a first-order Markov chain; ``follows_recent``: ``Σ_p .7^p s(i_p, j) / m_i``;
    - ``leads_to``: ``Σ_p .85^p · c(i_p, j) / n_i``, which favours what is popular beside.

    Each kind is a feature twice, as share of the best candidate's (``x``) and as ``1 + ln(.003 + x) / 5.8``, because a
    linear rule over both can tell "first" from "second" and "rare" from "never". Per item the ``capacity`` most
    frequent partners are kept, fewer where the table would pass ``most_bytes``. The history has to stand behind this
    source in the engine's list: it is asked how things stood before a batch.
    """

    name = "transitions"
    features = tuple(
        Feature(name, Signal.RAISES)
        for name in (
            *(f"{kind}{form}" for kind in _KINDS for form in ("", "_log")),
            *("together_strength", "follows_strength"),
        )
    )

    def __init__(
        self,
        history: HistorySource,
        *,
        window: int = 10,
        reach: int = 50,
        capacity: int = 1024,
        most_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        self._history, self._window, self._reach = history, window, reach
        # Counts are whole numbers, exact in float32 up to 16 million, and half as much to read for every list.
        self._pairs = SlotTable(capacity, ("together", "follows"), most_bytes, torch.float32)
        self._count, self._audience = Growable((), torch.float64), Growable((), torch.float64)
        self.grow(1, 1)

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._pairs.grow(items)
        self._count.grow(items)
        self._audience.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._pairs.truncate(items)
        self._count.truncate(items)
        self._audience.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The items with the strongest evidence of several kinds."""
        evidence = self._evidence(queries)
        kinds = np.array([kind for kind, _ in _PROPOSING])
        most = np.array([count for _, count in _PROPOSING])
        return torch.from_numpy(kernels.best(evidence.start, evidence.items, evidence.values, kinds, most))

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Of each kind the evidence relative to the best item's, plain and as a logarithm, both in [0, 1]; and the
        absolute strength of two kinds, damped.
        """
        evidence = self._evidence(queries)
        rows = items.contiguous().numpy()
        made = kernels.describe(evidence.start, evidence.items, evidence.values, rows, len(self._count))
        return torch.from_numpy(made)

    def _evidence(self, queries: Queries) -> _Evidence:
        kept = queries.memo.get(self.name)
        if kept is None:
            recent = self._history.recent(queries.users, self._reach, queries.earlier)
            start, items, values = kernels.evidence(
                recent.numpy(),
                self._pairs.keys_array,
                self._pairs.values_array,
                self._count.view.numpy(),
                self._audience.view.numpy(),
                self._window,
            )
            kept = queries.memo[self.name] = _Evidence(recent, start, items, values)
        assert isinstance(kept, _Evidence)
        return kept

    def partners(
        self, items: Sequence[int], most: int, own: Mapping[int, float] = NOBODY
    ) -> list[list[tuple[int, str, float]]]:
        """For each item row its ``most`` strongest partners and as many followers: row, ``together`` or ``follows``,
        strength in [0, 1] (``c(i, j) / √(n_i n_j)`` and ``s(i, j) / m_i``), the strongest first.

        Who took the rows ``own``, each so many times, is left out of all counts, as if of every pair of them it had
        been the user's doing: what only one did says nothing about what that one does.
        """
        count, audience = self._count.view.numpy(), self._audience.view.numpy()
        found: list[list[tuple[int, str, float]]] = []
        for item in items:
            keys = self._pairs.keys_array[item]
            there = np.flatnonzero(keys)
            others, values = keys[there].astype(np.int64), self._pairs.values_array[item, there].astype(np.float64)
            mine = np.array([own.get(other, 0.0) for other in others.tolist()])
            times = own.get(item, 0.0)
            if times:
                values -= np.stack((mine > 0, mine), axis=1)
            both = (audience[item] - (times > 0)) * (audience[others] - (mine > 0))
            scale = (np.sqrt(np.maximum(both, 1.0)), max(float(count[item]) - times, 1.0))
            strongest: list[tuple[int, str, float]] = []
            for column, relation in enumerate(("together", "follows")):
                strength = np.minimum(values[:, column] / scale[column], 1.0)
                best = np.lexsort((others, -strength))[:most]
                strongest += [(int(others[at]), relation, float(strength[at])) for at in best if strength[at] > 0]
            found.append(sorted(strongest, key=lambda one: (-one[2], one[0])))
        return found

    # -- the step ---------------------------------------------------------------------------------------------

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count pairs of each positive event with the user's items before it, those of the same batch included.

        The history must not have observed the batch yet.
        """
        self._pairs.fit()
        recent = self._history.recent(batch.users, self._window, batch.earlier)
        had = self._history.had(batch.users, batch.items.unsqueeze(1), batch.earlier)[:, 0]
        positive = batch.positive.numpy()
        counted = kernels.count(
            batch.items.numpy()[positive],
            ~had.numpy()[positive],
            recent.numpy()[positive],
            self._count.view.numpy(),
            self._audience.view.numpy(),
        )
        done = 0
        while True:
            pairs = self._pairs
            done = kernels.add(*counted, done, pairs.keys_array, pairs.values_array, pairs.may_widen)
            if done == len(counted[0]):
                return
            pairs.widen()

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Name the recent item that gave most of the evidence."""
        recent = self._evidence(queries).recent.numpy()
        query, item = (np.array([getattr(cause, name) for cause in causes]) for name in ("query", "item"))
        succession = np.array([cause.feature.startswith("follows") for cause in causes])
        pairs = self._pairs
        by_share = kernels.witness(
            recent[query],
            item,
            succession,
            pairs.keys_array,
            pairs.values_array,
            self._audience.view.numpy(),
            self._window,
        )
        sentences = []
        for direct, row in zip(succession.tolist(), by_share.tolist(), strict=True):
            title = graph.catalogue.title(graph.item_ids[row])
            sentences.append(f"often {'follows' if direct else 'goes with'} {title}" if row else "")
        return sentences

    def forget_user(self, user: int) -> None:
        """Pair counts hold no user."""

    def state(self) -> State:
        """Pairs and counts."""
        return {"items": self._count.view, "audience": self._audience.view} | gather({"pairs": self._pairs})

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._count.replace(state["items"])
        self._audience.replace(state["audience"])
        scatter({"pairs": self._pairs}, state)
