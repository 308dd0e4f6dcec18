"""Item-to-item evidence from sequences: what goes with an item, and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.batch import POSITIVE_TYPES, EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.groups import distinct_pairs, occurrences
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.slots import SlotTable
from dyngraph.state import State, gather, scatter


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
    """Counts of item pairs within a user's last ``window`` items.

    Co-occurrence counts both directions within the window and scores ``Σ_p w^p · c(i_p, j) / √(n_i n_j)`` over the
    user's recent items i_p (place p, newest first, ``w = place_decay``; an item bought twice within one step takes two
    places there, one elsewhere). Succession counts only "j came right after
    i" and scores ``c(i → j) / n_i`` for the newest i: a first-order Markov chain. Per item the ``capacity`` most
    frequent partners are kept.
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
        *,
        window: int = 10,
        place_decay: float = 0.8,
        capacity: int = 256,
        propose: int = 80,
        successors: int = 20,
    ) -> None:
        self._window, self._place_decay = window, place_decay
        self._propose, self._successors = propose, successors
        self._pairs = SlotTable(capacity, ("together", "follows"))
        self._count = Growable((), torch.float64)
        self.grow(1, 1)

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._pairs.grow(items)
        self._count.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._pairs.truncate(items)
        self._count.truncate(items)

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
        recent = self._recent(graph, queries.users, queries.ts, queries.seq)
        keys = self._pairs.keys[recent].to(torch.int64)
        own = self._count.view[recent].unsqueeze(2).clamp(min=1)
        norm = torch.sqrt(own * self._count.view[keys].clamp(min=1))
        decay = self._place_decay ** torch.arange(recent.shape[1], dtype=torch.float64).view(1, -1, 1)
        real = (recent > 0).unsqueeze(2)
        together = decay * self._pairs.column("together")[recent] / norm * real
        follows = self._pairs.column("follows")[recent[:, 0]] / own[:, 0] * real[:, 0]
        partners = _Partners(recent, keys, together, follows)
        for field, part in zip(_Partners._fields, partners, strict=True):
            queries.memo[f"{self.name}.{field}"] = part
        return partners

    def _recent(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """``[U, W]`` distinct positive items of the user's ring, newest first, 0 for none."""
        near = graph.users.neighbours.before(users, ts, seq)
        usable = near.mask & POSITIVE_TYPES[near.types]
        # Newest first by (ts, seq): a late event is not the newest just because it came last.
        order = torch.argsort(near.seq, dim=1, descending=True)
        latest = torch.where(usable, near.ts, torch.iinfo(torch.int64).min).gather(1, order)
        order = order.gather(1, torch.argsort(latest, dim=1, descending=True, stable=True))
        items = (near.nodes * usable).gather(1, order)
        earlier = (items.unsqueeze(1) == items.unsqueeze(2)).tril(-1).any(2)
        items = items.masked_fill(earlier, 0)
        # Close the gaps that repeats left, so that places count distinct items.
        order = torch.argsort((items == 0).int(), dim=1, stable=True)
        return items.gather(1, order)[:, : self._window]

    # -- the step ---------------------------------------------------------------------------------------------

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count pairs of each positive event with the user's items before it, those of the same batch included."""
        positive = batch.positive
        users, items = batch.users[positive], batch.items[positive]
        if not users.numel():
            return
        self._count.view.index_add_(0, items, torch.ones(items.shape[0], dtype=torch.float64))
        before, after, direct = self._pairs_of(graph, batch, users, items)
        if not before.numel():
            return
        pairs = distinct_pairs(torch.cat((before, after)), torch.cat((after, before)))
        together = torch.bincount(pairs.place, minlength=pairs.left.shape[0]).to(torch.float64)
        forward = pairs.place[: before.shape[0]]
        follows = torch.zeros_like(together).index_add_(0, forward, direct.to(torch.float64))
        slot = self._pairs.slots(pairs.left, pairs.right, priority=together)
        kept = slot >= 0
        at = (pairs.left[kept], slot[kept])
        self._pairs.column("together")[at] += together[kept]
        self._pairs.column("follows")[at] += follows[kept]

    def _pairs_of(
        self, graph: DynamicGraph, batch: EventBatch, users: Tensor, items: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Earlier item, later item, and whether the one came right after the other, for each pair in the window."""
        place = occurrences(users).from_front
        order = torch.argsort(users, stable=True)
        users, items, place = users[order], items[order], place[order]
        ts = batch.ts[batch.positive][order]
        pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        for lag in range(1, min(self._window, int(place.max())) + 1):
            same = users[lag:] == users[:-lag]
            left = items[:-lag][same]
            pairs.append((left, items[lag:][same], torch.full_like(left, lag == 1)))
        recent = self._recent(graph, users, ts, torch.full_like(users, int(batch.seq.min())))
        distance = torch.arange(1, recent.shape[1] + 1) + place.unsqueeze(1)
        known = (recent > 0) & (distance <= self._window)
        pairs.append((recent[known], items.unsqueeze(1).expand_as(recent)[known], (distance[known] == 1).long()))
        before, after, direct = (torch.cat(column) for column in zip(*pairs, strict=True))
        distinct = before != after
        return before[distinct], after[distinct], direct[distinct]

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
        return {"items": self._count.view} | gather({"pairs": self._pairs})

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._count.replace(state["items"])
        scatter({"pairs": self._pairs}, state)
