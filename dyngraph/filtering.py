"""Filters become rows before anything is ranked, so that a filtered list is as long and as good as any other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dyngraph.graph import DynamicGraph
from dyngraph.lists import Filters
from dyngraph.met import EVERY_KIND, MetItems, kinds_of
from dyngraph.ranking import unite

AT_LEAST = 100
"""Candidates per query that narrow filters should leave, so that there is something to rank."""


class Sieve:
    """What ``filters`` let pass in the graph as it stands now."""

    def __init__(self, filters: Filters, graph: DynamicGraph, met: MetItems) -> None:
        catalogue = graph.catalogue
        passes = catalogue.available() if filters.available_only else catalogue.listed()
        if filters.categories:
            passes &= catalogue.in_categories(filters.categories)
        if filters.without_categories:
            passes &= ~catalogue.in_categories(filters.without_categories)
        if filters.brands:
            passes &= catalogue.of_brands(filters.brands)
        if filters.price_min is not None or filters.price_max is not None:
            passes &= catalogue.priced(filters.price_min, filters.price_max)
        passes[graph.item_ids.find(list(filters.exclude)).numpy()] = False
        passes[0] = False
        self.passes = torch.from_numpy(passes)
        """``[items]`` bool: which rows may be listed for anybody."""
        self._kinds = EVERY_KIND if filters.hide_seen else kinds_of(filters.hide_after)
        self._narrow = filters.narrow
        self._graph, self._met = graph, met

    def keep(self, users: Tensor, items: Tensor) -> Tensor:
        """``items [U, C]`` (rows) with 0 in place of those that ``users [U]`` must not be shown."""
        passes = self.passes[items]
        if self._kinds:
            passes &= (self._met.kinds(users, items) & self._kinds) == 0
        return items * passes

    def candidates(self, users: Tensor, items: Tensor, k: int) -> Tensor:
        """Distinct rows ``[U, C']``, 0 for none: ``items`` that pass, and others where too few of them do.

        Sources propose without knowing the filters. Where they leave a query short of ``k``, or of :data:`AT_LEAST`
        under narrow filters, the items that pass and have most events join the candidates: enough for ``k``, if so many
        pass at all.
        """
        kept = self.keep(users, items)
        wanted = max(k, AT_LEAST) if self._narrow else k
        short = (kept > 0).sum(1) < wanted
        if not bool(short.any()):
            return kept
        # Each query gets the same, whoever asks beside it: its own first ones of one order.
        most = self._most_met(wanted + (self._met.most(users) if self._kinds else 0))
        more = self.keep(users, most.expand(len(users), -1))
        more *= ((more > 0).cumsum(1) <= wanted) & short.unsqueeze(1)
        return unite([kept, more], len(self.passes))

    def _most_met(self, n: int) -> Tensor:
        """The ``n`` passing rows with most events, or all there are, most first; of equals the earlier rows."""
        rows = np.flatnonzero(self.passes.numpy())
        events = self._graph.items.events.cpu().numpy()[rows]
        if len(rows) > n:
            likely = events >= np.partition(events, len(events) - n)[len(events) - n]
            rows, events = rows[likely], events[likely]
        return torch.from_numpy(rows[np.argsort(-events, kind="stable")][:n])
