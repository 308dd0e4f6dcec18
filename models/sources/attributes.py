"""Items alike by their catalogue entries: the brands and categories of what a user took lately."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.catalogue import Catalogue
from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.state import State
from models.sources.history import HistorySource

MOST_LABELS = 8
"""Labels kept per item: its brand, then its categories, the narrowest level of each path first."""
PLACE_DECAY = 0.85
_FLOOR = 0.01
_SPAN = 4.605
_REBUILD = 1.02
"""The index of items by label is made anew when the graph has grown by about this factor."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = NDArray[np.float32]


class AttributeSource:
    """Affinity ``Σ_p .85^p Σ_{a in i_p and j} 1 / m_a`` of candidate j to the user's last ``window`` items i_p.

    a runs over labels (brand, categories), m_a is the number of the graph's items that bear it, so that a rare brand
    says more than a broad category. Nothing is counted from events and nothing is kept: labels are the catalogue's, as
    it stands at the time of the query.
    """

    name = "attributes"
    features = (Feature("alike", Signal.RAISES), Feature("alike_log", Signal.RAISES))

    def __init__(self, history: HistorySource, *, window: int = 10, propose: int = 60, longest: int = 400) -> None:
        self._history, self._window, self._propose, self._longest = history, window, propose, longest
        self._labels = Labels()

    def grow(self, users: int, items: int) -> None:
        """Labels are looked up when they are asked for."""

    def truncate(self, users: int, items: int) -> None:
        """A row may come back as another item."""
        self._labels.truncate(items)

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """Items that share a label borne by at most ``longest`` items, the closest first."""
        self._labels.follow(graph)
        index = self._labels
        recent = self._recent(queries)
        found = _closest(recent, index.codes, index.start, index.members, index.bearers, self._longest, self._propose)
        return torch.from_numpy(found)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Affinity relative to the closest candidate's, plain and as a logarithm, in [0, 1]."""
        self._labels.follow(graph)
        rows = items.contiguous().numpy()
        return torch.from_numpy(_affinity(self._recent(queries), rows, self._labels.codes, self._labels.bearers))

    def _recent(self, queries: Queries) -> Ints:
        recent: Ints | None = queries.memo.get(self.name)
        if recent is None:
            recent = self._history.recent(queries.users, self._window, queries.earlier).numpy()
            queries.memo[self.name] = recent
        return recent

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Nothing is counted."""

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Name the label that says most, and the recent item it is shared with."""
        self._labels.follow(graph)
        recent = self._recent(queries)
        said = []
        for cause in causes:
            label, partner = self._labels.shared(cause.item, recent[cause.query].tolist())
            title = graph.catalogue.title(graph.item_ids[partner]) if partner else ""
            said.append(f"{label}, like {title}" if partner else "")
        return said

    def forget_user(self, user: int) -> None:
        """Nothing of its own."""

    def state(self) -> State:
        """Nothing of its own."""
        return {}

    def load_state(self, state: State) -> None:
        """Start from the catalogue again."""
        self._labels = Labels()


class Labels:
    """The labels of the graph's items as codes, and which items bear each; follows graph and catalogue."""

    def __init__(self) -> None:
        self._names = [""]
        self._codes: dict[str, int] = {}
        self._rows = 1
        self._indexed = 0
        self._version = -1
        self._table = np.zeros((64, MOST_LABELS), np.int64)
        self.bearers: Floats = np.zeros(1)
        """``[labels]`` number of items that bear each label."""
        self.start: Ints = np.zeros(2, np.int64)
        """``[labels + 1]`` borders in :attr:`members`."""
        self.members: Ints = np.zeros(0, np.int64)
        """Item rows by label."""

    @property
    def codes(self) -> Ints:
        """``[items, MOST_LABELS]`` label codes, 0 for none."""
        return self._table[: self._rows]

    def truncate(self, items: int) -> None:
        """Forget the rows from ``items`` on."""
        if items < self._rows:
            self._table[items : self._rows] = 0
            self._rows = items

    def follow(self, graph: DynamicGraph) -> None:
        """Take in new items, and everything again if the catalogue has changed."""
        items = graph.sizes()[1]
        if graph.catalogue.version != self._version:
            self._version, self._rows, self._indexed = graph.catalogue.version, 1, 0
        if items > len(self._table):
            wider = np.zeros((2 * items, MOST_LABELS), np.int64)
            wider[: len(self._table)] = self._table
            self._table = wider
        for row in range(self._rows, items):
            self._table[row] = self._of(graph.catalogue, graph.item_ids[row])
        self._rows = items
        if _covered(items) != self._indexed:
            self._index(_covered(items))

    def _of(self, catalogue: Catalogue, item_id: str) -> list[int]:
        item = catalogue.get(item_id)
        names = labels(item)[:MOST_LABELS] if item else []
        for name in names:
            if name not in self._codes:
                self._codes[name] = len(self._names)
                self._names.append(name)
        codes = [self._codes[name] for name in names]
        return codes + [0] * (MOST_LABELS - len(codes))

    def _index(self, covered: int) -> None:
        """A label that came after the covered rows has no bearers there and says nothing until the next index."""
        self._indexed = covered
        rows, places = np.nonzero(self.codes[:covered])
        codes = self.codes[rows, places]
        order = np.argsort(codes, kind="stable")
        self.members = rows[order]
        self.bearers = np.bincount(codes, minlength=len(self._names)).astype(np.float64)
        self.start = np.concatenate(([0], np.cumsum(self.bearers).astype(np.int64)))

    def shared(self, item: int, recent: Sequence[int]) -> tuple[str, int]:
        """The label of ``item`` that adds most to its affinity, and the newest item of ``recent`` that bears it."""
        best, partner, most = 0, 0, 0.0
        for place, other in enumerate(recent):
            for code in set(self.codes[item].tolist()) & set(self.codes[other].tolist()) - {0}:
                if code < len(self.bearers) and self.bearers[code]:
                    share = PLACE_DECAY**place / self.bearers[code]
                    if share > most:
                        best, partner, most = code, other, share
        return self._names[best], partner


_SIZES = [1]


def _covered(items: int) -> int:
    """How many of so many rows an index covers: a function of their number alone, so that a restored state has the
    index of the state that was saved.
    """
    while _SIZES[-1] <= items:
        _SIZES.append(max(int(_SIZES[-1] * _REBUILD), _SIZES[-1] + 1))
    return _SIZES[bisect_right(_SIZES, items) - 1]


def labels(item: Item) -> list[str]:
    """Brand, then each category path's levels from the narrowest to the broadest, each once.

    >>> labels(Item("i", brand="OPI", categories=("Makeup > Nails", "Gifts")))
    ['OPI', 'Nails', 'Makeup', 'Gifts']
    """
    named = [item.brand] if item.brand else []
    for path in item.categories:
        named += [level for level in reversed(path.split(" > ")) if level]
    return list(dict.fromkeys(named))


@njit(cache=True)
def _weights(recent: Ints, codes: Ints, bearers: Floats, affinity: Floats) -> None:
    """Fill ``affinity [labels]`` for one user's ``recent [W]`` items."""
    affinity[:] = 0
    for p in range(recent.shape[0]):
        i = recent[p]
        if i == 0:
            break
        for place in range(codes.shape[1]):
            code = codes[i, place]
            if code > 0 and code < bearers.shape[0] and bearers[code] > 0:
                affinity[code] += PLACE_DECAY**p / bearers[code]


@njit(cache=True)
def _affinity(recent: Ints, rows: Ints, codes: Ints, bearers: Floats) -> Values:
    queries, width = rows.shape
    made = np.zeros((queries, width, 2), np.float32)
    affinity = np.zeros(bearers.shape[0])
    sums = np.zeros(width)
    for q in range(queries):
        _weights(recent[q], codes, bearers, affinity)
        top = 1e-12
        for c in range(width):
            total = 0.0
            if rows[q, c] > 0:
                for place in range(codes.shape[1]):
                    code = codes[rows[q, c], place]
                    if code > 0 and code < bearers.shape[0]:
                        total += affinity[code]
            sums[c] = total
            top = max(top, total)
        for c in range(width):
            share = sums[c] / top
            if share > 0:
                made[q, c, 0] = share
                made[q, c, 1] = min(max(1 + np.log(_FLOOR + share) / _SPAN, 0.0), 1.0)
    return made


@njit(cache=True)
def _closest(recent: Ints, codes: Ints, start: Ints, members: Ints, bearers: Floats, longest: int, most: int) -> Ints:
    queries, window = recent.shape
    made = np.zeros((queries, most), np.int64)
    affinity = np.zeros(bearers.shape[0])
    score = np.zeros(codes.shape[0])
    touched = np.zeros(codes.shape[0], np.int64)
    for q in range(queries):
        _weights(recent[q], codes, bearers, affinity)
        n = 0
        for p in range(window):
            i = recent[q, p]
            if i == 0:
                break
            for place in range(codes.shape[1]):
                code = codes[i, place]
                if code == 0 or code >= bearers.shape[0] or bearers[code] > longest or affinity[code] == 0:
                    continue
                for at in range(start[code], start[code + 1]):
                    j = members[at]
                    if j >= codes.shape[0]:
                        continue
                    if score[j] == 0:
                        touched[n] = j
                        n += 1
                    score[j] += affinity[code]
                affinity[code] = 0
        if n:
            found = touched[:n]
            order = np.argsort(-score[found], kind="mergesort")[:most]
            made[q, : order.shape[0]] = found[order]
            score[found] = 0
    return made
