"""Item-to-item evidence from sequences: what follows an item, and what goes with it."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.batch import POSITIVE_TYPES, EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.groups import occurrences
from dyngraph.growable import Growable
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.slots import SlotTable
from dyngraph.state import State, gather, scatter


class TransitionSource:
    """Counts of item pairs within a user's last ``window`` items.

    ``symmetric`` counts both directions and scores ``Σ_p w^p · c(i_p, j) / √(n_i n_j)`` over the user's recent items
    i_p (item-item co-occurrence with decay by place); otherwise only "j came after i" is counted and the score is
    ``Σ_p w^p · c(i_p → j) / n_i`` (with a window of one: a first-order Markov chain). Per item the ``capacity`` most
    frequent partners are kept.
    """

    def __init__(
        self,
        name: str,
        *,
        window: int,
        symmetric: bool,
        place_decay: float,
        capacity: int = 256,
        propose: int = 80,
    ) -> None:
        self.name = name
        self.features = (Feature(name, Signal.RAISES), Feature(f"{name}_strength", Signal.RAISES))
        self._window, self._symmetric, self._place_decay = window, symmetric, place_decay
        self._propose = propose
        self._pairs = SlotTable(capacity, ("count",))
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
        """The items with the strongest evidence."""
        scores = self._scores(graph, queries)
        best = torch.topk(scores, min(self._propose, scores.shape[1]), dim=1)
        return torch.where(best.values > 0, best.indices, 0)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """The evidence (the ranker scales it by the query's best), and its absolute strength, damped."""
        evidence = self._scores(graph, queries).gather(1, items)
        return torch.stack((evidence, torch.sqrt(evidence / (1 + evidence))), dim=2).to(torch.float32)

    def _scores(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """``[U, items]`` float32."""
        memo = queries.memo.get(self.name)
        if memo is None:
            keys, strength = self._partners(graph, queries)
            memo = torch.zeros(len(queries), len(self._count), dtype=torch.float32)
            memo.scatter_add_(1, keys.flatten(1), strength.flatten(1).to(torch.float32))
            memo[:, 0] = 0
            queries.memo[self.name] = memo
        return memo

    def _partners(self, graph: DynamicGraph, queries: Queries) -> tuple[Tensor, Tensor]:
        """Partner rows and strengths ``[U, W, width]`` of the queries' recent items."""
        keys = queries.memo.get(f"{self.name}.keys")
        if keys is None:
            recent = self._recent_of(graph, queries)
            keys = self._pairs.keys[recent].to(torch.int64)
            counts = self._pairs.column("count")[recent]
            own = self._count.view[recent].unsqueeze(2).clamp(min=1)
            norm = torch.sqrt(own * self._count.view[keys].clamp(min=1)) if self._symmetric else own
            decay = self._place_decay ** torch.arange(recent.shape[1], dtype=torch.float64).view(1, -1, 1)
            queries.memo[f"{self.name}.keys"] = keys
            queries.memo[f"{self.name}.strength"] = decay * counts / norm * (recent > 0).unsqueeze(2)
        return keys, queries.memo[f"{self.name}.strength"]

    def _recent_of(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        recent = queries.memo.get("recent")
        if recent is None:
            recent = queries.memo["recent"] = self._recent(graph, queries.users, queries.ts, queries.seq)
        return recent[:, : self._window]

    def _recent(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """``[U, K]`` distinct positive items of the user's ring, newest first, 0 for none."""
        near = graph.users.neighbours.before(users, ts, seq)
        usable = near.mask & POSITIVE_TYPES[near.types]
        order = torch.argsort(torch.where(usable, near.seq, -1), dim=1, descending=True)
        items = (near.nodes * usable).gather(1, order)
        earlier = (items.unsqueeze(1) == items.unsqueeze(2)).tril(-1).any(2)
        items = items.masked_fill(earlier, 0)
        # Close the gaps that repeats left, so that places count distinct items.
        order = torch.argsort((items == 0).int(), dim=1, stable=True)
        return items.gather(1, order)

    # -- the step ---------------------------------------------------------------------------------------------

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Count pairs of each positive event with the user's items before it, those of the same batch included."""
        positive = batch.positive
        users, items = batch.users[positive], batch.items[positive]
        if not users.numel():
            return
        self._count.view.index_add_(0, items, torch.ones(items.shape[0], dtype=torch.float64))
        before, after = self._pairs_of(graph, batch, users, items)
        if self._symmetric:
            before, after = torch.cat((before, after)), torch.cat((after, before))
        if not before.numel():
            return
        pairs, times = torch.unique(torch.stack((before, after)), dim=1, return_counts=True)
        times = times.to(torch.float64)
        slot = self._pairs.slots(pairs[0], pairs[1], priority=times)
        kept = slot >= 0
        self._pairs.column("count")[pairs[0][kept], slot[kept]] += times[kept]

    def _pairs_of(self, graph: DynamicGraph, batch: EventBatch, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        place = occurrences(users).from_front
        order = torch.argsort(users, stable=True)
        sorted_users, sorted_items, sorted_place = users[order], items[order], place[order]
        before, after = [], []
        for lag in range(1, min(self._window, int(place.max())) + 1):
            same = sorted_users[lag:] == sorted_users[:-lag]
            before.append(sorted_items[:-lag][same])
            after.append(sorted_items[lag:][same])
        first = torch.full_like(sorted_users, int(batch.ts.max()))
        recent = self._recent(graph, sorted_users, first, torch.full_like(first, int(batch.seq.min())))
        recent = recent[:, : self._window]
        reach = torch.arange(recent.shape[1]) < (self._window - sorted_place).unsqueeze(1)
        known = (recent > 0) & reach
        before.append(recent[known])
        after.append(sorted_items.unsqueeze(1).expand_as(recent)[known])
        left, right = torch.cat(before), torch.cat(after)
        return left[left != right], right[left != right]

    def explain(self, graph: DynamicGraph, queries: Queries, cause: Cause) -> str | None:
        """Name the recent item that gave most of the evidence."""
        keys, strength = self._partners(graph, queries)
        share = (strength[cause.query] * (keys[cause.query] == cause.item)).sum(1)
        best = int(self._recent_of(graph, queries)[cause.query, int(share.argmax())])
        title = graph.catalogue.title(graph.item_ids[best])
        return f"often goes with {title}" if self._symmetric else f"often follows {title}"

    def forget_user(self, user: int) -> None:
        """Pair counts hold no user."""

    def state(self) -> State:
        """Pairs and counts."""
        return {"items": self._count.view} | gather({"pairs": self._pairs})

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._count.replace(state["items"])
        scatter({"pairs": self._pairs}, state)
