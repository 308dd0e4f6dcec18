"""Items that stand in a latent relation to what the user took lately: LRD as a source of candidates and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Feature, Queries, Signal, Update
from dyngraph.state import State, Stateful, gather, scatter
from models.lrd.capture import Asked, ask
from models.lrd.living_table import LivingTable
from models.lrd.neighbours import RelationNeighbours
from models.lrd.online import OnlineRelations
from models.sources.history import HistorySource
from models.sources.likelihood import described_among, likelihood_features
from models.sources.transitions import NOBODY
from models.waiting import pick

GUESSED = 0.1
"""What the strength of a latent relation counts beside that of a counted one: q times σ is a few tenths for almost any
pair, while two items that a twentieth of their users took both go well together.
"""
PLACE_DECAY = 0.85
"""Weight of each older item's neighbours among the proposals, and in the feature."""
_MIXING = 0x9E3779B97F4A7C15


class RelationSource:
    """See :mod:`models.lrd`. Proposes the relation neighbours of the user's latest items; describes candidates by the
    model's score, and by the strongest latent relation to one of those items.
    """

    name = "relations"
    features = (*likelihood_features("relations"), Feature("relation_strength", Signal.RAISES))

    def __init__(self, model: OnlineRelations, history: HistorySource) -> None:
        self.model, self._history = model, history
        self.neighbours = RelationNeighbours(model, model.config.neighbours)
        self.table = LivingTable(model, self.neighbours)
        self._due, self._next, self._since = 0, 1, 0

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self.model.grow(users, items)
        self.neighbours.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self.model.truncate(users, items)
        self.neighbours.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """The neighbours of the latest items, by strength and by how late the item stands."""
        past = self._asked(queries).past
        n, h = past.shape
        partners = self.neighbours.of(past.flatten())
        weight = (PLACE_DECAY ** torch.arange(h)).view(1, h, 1)
        strength = partners.strength.view(n, h, -1) * weight
        best = torch.topk(strength.flatten(1), min(self.model.config.propose, strength[0].numel()), dim=1)
        return partners.items.view(n, -1).gather(1, best.indices) * (best.values > 0)

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Three columns of likelihood (:func:`models.sources.likelihood.described_among`), and relation strength."""
        asked = self._asked(queries)
        scores = self.model.scores(asked, items)
        partners = self.neighbours.of(asked.past.flatten())
        n, h = asked.past.shape
        kept, strength = partners.items.view(n, -1), partners.strength.view(n, h, -1)
        strength = (strength * (PLACE_DECAY ** torch.arange(h)).view(1, h, 1)).flatten(1)
        strongest = torch.zeros(n, graph.sizes()[1]).scatter_reduce_(1, kept, strength, "amax")
        return torch.cat((described_among(scores, items > 0), strongest.gather(1, items).unsqueeze(2)), dim=2)

    def _asked(self, queries: Queries) -> Asked:
        asked: Asked | None = queries.memo.get(self.name)
        if asked is None:
            asked = queries.memo[self.name] = ask(self._history, queries, self.model.config.method.history)
        return asked

    # -- the step ---------------------------------------------------------------------------------------------

    def lesson(
        self, graph: DynamicGraph, batch: EventBatch, queries: Queries, query: Tensor, *, learn: bool, seed: int
    ) -> Update:
        """Learn what the batch's events chose."""
        return self.model.plan(graph, batch, self._asked(queries), query, learn=learn, seed=seed)

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Take in newcomers and new texts; renew the neighbours of as many items as the batch's events pay for, those
        of the batch first.
        """
        self.model.follow(graph, batch.items)
        self.table.take(graph.relation_names.newest)
        config, count = self.model.config, graph.sizes()[1]
        self._due += len(batch)
        turns, self._due = divmod(self._due, config.renew_every)
        self._since += len(batch)
        if self._since >= config.name_every or (self.table.table is None and self._since >= config.name_first):
            self._since = 0
            self.table.renew(graph, int(batch.ts[-1]), int(batch.seq[-1]))
        if not turns or count < 3:
            return
        latest = dict.fromkeys(reversed(batch.items.tolist()))
        touched = torch.tensor(list(latest)[: (turns + 1) // 2], dtype=torch.int64)
        turn = (torch.arange(min(turns - len(touched), count - 1)) + self._next - 1) % (count - 1) + 1
        if len(turn):
            self._next = int(turn[-1]) % (count - 1) + 1
        generator = torch.Generator().manual_seed(int(batch.seq[0]) * _MIXING % 2**63)
        looked_at = torch.randint(1, count, (min(config.looked_at, count - 1),), generator=generator)
        # What was taken by the same people lately is likelier to be a partner than what is drawn.
        looked_at = torch.cat((looked_at, torch.unique(batch.items)))
        self.neighbours.renew(torch.unique(torch.cat((touched, turn))), looked_at)

    # -- reasons ----------------------------------------------------------------------------------------------

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """Name the relation, and the past item it leads from, that adds most to the score; or, where the strength of a
        relation is the cause, the strongest.
        """
        if not causes:
            return []
        places = torch.tensor([cause.query for cause in causes])
        items = torch.tensor([cause.item for cause in causes])
        asked = pick(self._asked(queries), places)
        added, strength = self.model.contributions(asked, items), self._strengths(asked, items)
        told = []
        for place, cause in enumerate(causes):
            given = strength[place] if cause.feature == "relation_strength" else added[place]
            relation, slot = divmod(int(given.argmax()), asked.past.shape[1])
            row = int(asked.past[place, slot])
            leads = row > 0 and bool(given[relation, slot] > 0)
            title = graph.catalogue.title(graph.item_ids[row])
            called = self.called(relation)
            told.append(f"{'relation ' if called.startswith('‘') else ''}{called} to {title}" if leads else "")
        return told

    def _strengths(self, asked: Asked, items: Tensor) -> Tensor:
        """``[n, R, H]`` how strong the relations from each past item to item row ``items [n]`` are, as far as kept."""
        n, h = asked.past.shape
        relations = self.model.relations
        partners = self.neighbours.of(asked.past.flatten())
        strength = partners.strength * (partners.items == items.repeat_interleave(h).unsqueeze(1))
        if not relations.latent:
            return torch.zeros(n, len(relations), h)
        by_relation = torch.zeros(n * h, len(relations))
        by_relation.scatter_reduce_(1, relations.latent_at + partners.relation, strength, "amax")
        return by_relation.view(n, h, -1).transpose(1, 2) * PLACE_DECAY ** torch.arange(h)

    def called(self, relation: int) -> str:
        """A relation's name as reasons tell it."""
        latent = relation - self.model.relations.latent_at
        return self.table.called(latent) if latent >= 0 else f"‘{self.model.relations.names[relation]}’"

    def partners(
        self, items: Sequence[int], most: int, own: Mapping[int, float] = NOBODY
    ) -> list[list[tuple[int, str, float]]]:
        """For each item row its ``most`` strongest partners: row, the relation's name, strength. They are learned and
        not counted: nobody's ``own`` doing can be taken out of them.
        """
        found = self.neighbours.of(torch.tensor(list(items), dtype=torch.int64))
        return [
            [
                (int(other), self.table.called(int(relation)), GUESSED * float(strength))
                for other, strength, relation in zip(*(column[place].tolist() for column in found), strict=True)
                if other
            ][:most]
            for place in range(len(items))
        ]

    def forget_user(self, user: int) -> None:
        """Drop what was learned of the user."""
        self.model.forget_user(user)

    def state(self) -> State:
        """The model, the neighbours, and whose turn it is."""
        return gather(self._parts()) | {"turn": torch.tensor([self._due, self._next, self._since])}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        scatter(self._parts(), state)
        self._due, self._next, self._since = state["turn"].tolist()

    def _parts(self) -> dict[str, Stateful]:
        return {"model": self.model, "neighbours": self.neighbours, "table": self.table}
