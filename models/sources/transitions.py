"""Item-to-item evidence from sequences: what goes with an item, and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.groups import distinct_pairs, occurrences
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.slots import SlotTable
from dyngraph.state import State, gather, scatter
from models.sources.history import HistorySource


class _Partners(NamedTuple):
    """Evidence of the queries' recent items for their partners."""

    recent: Tensor
    """``[U, W]`` recent items, newest first, 0 for none."""
    keys: Tensor
    """``[U, W, width]`` partner rows."""
    together: Tensor
    """``[U, W, width]`` decayed co-occurrence."""
    follows: Tensor
    """``[U, width]`` share of the newest item's successors."""


class TransitionSource:
    """Counts of item pairs within a user's last ``window`` distinct items.

    Co-occurrence counts users, not events: c(i, j) grows when a user takes one of the two for the first time with the
    other in the window, n_i is the number of users who had i, and a candidate scores
    ``Σ_p w^p · c(i_p, j) / √(n_i n_j)`` over the user's recent items i_p (place p, newest first, ``w = place_decay``;
    an item taken twice within one step takes two places there, one elsewhere). Counted by events, two items between
    which one user goes to and fro would seem to go together for everybody. Succession counts only "j came right after
    i" and scores ``c(i → j) / n_i`` for the newest i, n_i being its events: a first-order Markov chain. Per item the
    ``capacity`` most frequent partners are kept. The history has to stand behind this source in the engine's list:
    it is asked how things stood before a batch.
    """

    name = "transitions"
    features = (
        Feature("together", Signal.RAISES),
        Feature("together_strength", Signal.RAISES),
        Feature("follows", Signal.RAISES),
        Feature("follows_strength", Signal.RAISES),
    )

    def __init__(
        self,
        history: HistorySource,
        *,
        window: int = 10,
        place_decay: float = 0.8,
        capacity: int = 256,
        propose: int = 80,
        successors: int = 20,
    ) -> None:
        self._history, self._window, self._place_decay = history, window, place_decay
        self._propose, self._successors = propose, successors
        self._pairs = SlotTable(capacity, ("together", "follows"))
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
        """The items with the strongest evidence of either kind."""
        scores = self._scores(graph, queries)
        best = []
        for column, most in ((scores[0], self._propose), (scores[1], self._successors)):
            top = torch.topk(column, min(most, column.shape[1]), dim=1)
            best.append(torch.where(top.values > 0, top.indices, 0))
        return torch.cat(best, dim=1)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Of each kind the evidence relative to the best candidate's, and its absolute strength, damped; in [0, 1]."""
        evidence = self._scores(graph, queries).gather(2, items.expand(2, -1, -1))
        relative = evidence / evidence.amax(2, keepdim=True).clamp(min=1e-9)
        both = torch.stack((relative, torch.sqrt(evidence / (1 + evidence))), dim=3)
        return both.permute(1, 2, 0, 3).flatten(2)

    def _scores(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """``[2, U, items]`` float32: co-occurrence and succession."""
        memo = queries.memo.get(self.name)
        if memo is None:
            partners = self._partners(graph, queries)
            memo = torch.zeros(2, len(queries), len(self._count))
            memo[0].scatter_add_(1, partners.keys.flatten(1), partners.together.flatten(1).float())
            memo[1].scatter_add_(1, partners.keys[:, 0], partners.follows.float())
            memo[:, :, 0] = 0
            queries.memo[self.name] = memo
        return memo

    def _partners(self, graph: DynamicGraph, queries: Queries) -> _Partners:
        kept = [queries.memo.get(f"{self.name}.{field}") for field in _Partners._fields]
        if all(part is not None for part in kept):
            return _Partners(*kept)  # type: ignore[arg-type]
        recent = self._history.recent(queries.users, self._window)
        keys = self._pairs.keys[recent].to(torch.int64)
        norm = torch.sqrt((self._audience.view[recent].unsqueeze(2) * self._audience.view[keys]).clamp(min=1))
        decay = self._place_decay ** torch.arange(recent.shape[1], dtype=torch.float64).view(1, -1, 1)
        real = (recent > 0).unsqueeze(2)
        together = decay * self._pairs.column("together")[recent] / norm * real
        newest = recent[:, 0]
        follows = (
            self._pairs.column("follows")[newest] / self._count.view[newest].unsqueeze(1).clamp(min=1) * real[:, 0]
        )
        partners = _Partners(recent, keys, together, follows)
        for field, part in zip(_Partners._fields, partners, strict=True):
            queries.memo[f"{self.name}.{field}"] = part
        return partners

    # -- the step ---------------------------------------------------------------------------------------------

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count pairs of each positive event with the user's items before it, those of the same batch included.

        The history must not have observed the batch yet.
        """
        positive = batch.positive
        users, items = batch.users[positive], batch.items[positive]
        if not users.numel():
            return
        order = torch.argsort(users, stable=True)
        users, items = users[order], items[order]
        first = self._first_meetings(users, items)
        self._count.view.index_add_(0, items, torch.ones(items.shape[0], dtype=torch.float64))
        self._audience.view.index_add_(0, items, first.to(torch.float64))
        before, after, direct, meeting = self._pairs_of(users, items, first)
        if not before.numel():
            return
        pairs = distinct_pairs(torch.cat((before, after)), torch.cat((after, before)))
        nothing = torch.zeros(pairs.left.shape[0], dtype=torch.float64)
        together = nothing.index_add(0, pairs.place, torch.cat((meeting, meeting)))
        follows = nothing.index_add(0, pairs.place[: before.shape[0]], direct)
        slot = self._pairs.slots(pairs.left, pairs.right, priority=together)
        kept = slot >= 0
        at = (pairs.left[kept], slot[kept])
        self._pairs.column("together")[at] += together[kept]
        self._pairs.column("follows")[at] += follows[kept]

    def _first_meetings(self, users: Tensor, items: Tensor) -> Tensor:
        """``[n]`` bool: events in which a user takes an item never taken before; ``users`` and ``items`` in order."""
        pairs = distinct_pairs(users, items)
        earliest = torch.full_like(pairs.left, users.shape[0]).scatter_reduce_(
            0, pairs.place, torch.arange(users.shape[0]), "amin"
        )
        first = torch.zeros(users.shape[0], dtype=torch.bool)
        first[earliest] = True
        return first & ~self._history.had(users, items.unsqueeze(1))[:, 0]

    def _pairs_of(self, users: Tensor, items: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For each pair in the window: earlier item, later item, and (float64, 0 or 1) whether the one came right after
        the other and whether the user met the later one for the first time. ``users [n]`` sorted, ties in order.
        """
        place = occurrences(users).from_front
        met = first.to(torch.float64)
        pairs: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for lag in range(1, min(self._window, int(place.max())) + 1):
            same = users[lag:] == users[:-lag]
            left = items[:-lag][same]
            pairs.append((left, items[lag:][same], torch.full(left.shape, float(lag == 1)).double(), met[lag:][same]))
        recent = self._history.recent(users, self._window)
        distance = torch.arange(1, recent.shape[1] + 1) + place.unsqueeze(1)
        known = (recent > 0) & (distance <= self._window)
        direct = (distance[known] == 1).to(torch.float64)
        after, meeting = (column.unsqueeze(1).expand_as(recent)[known] for column in (items, met))
        pairs.append((recent[known], after, direct, meeting))
        before, after, direct, meeting = (torch.cat(column) for column in zip(*pairs, strict=True))
        counts = (before != after) & ((direct > 0) | (meeting > 0))
        return before[counts], after[counts], direct[counts], meeting[counts]

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Name the recent item that gave most of the evidence."""
        partners = self._partners(graph, queries)
        query = torch.tensor([cause.query for cause in causes])
        item = torch.tensor([cause.item for cause in causes]).view(-1, 1, 1)
        share = (partners.together[query] * (partners.keys[query] == item)).sum(2)
        by_share = partners.recent[query].gather(1, share.argmax(1, keepdim=True))[:, 0].tolist()
        newest = partners.recent[query, 0].tolist()
        sentences = []
        for cause, goes_with, follows in zip(causes, by_share, newest, strict=True):
            direct = cause.feature.startswith("follows")
            title = graph.catalogue.title(graph.item_ids[follows if direct else goes_with])
            sentences.append(f"often {'follows' if direct else 'goes with'} {title}")
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
