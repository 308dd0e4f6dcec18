"""LLMRG as it lives beside the stream: the vectors of users' newest reasoning graphs, kept until a newer graph comes.

A list reads them and computes no graph: they are made in the step after a graph has come, and renewed in turn as the
weights change. Item nodes are the temporal graph's item vectors and the items' texts, mapped to one width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.reasoning import ReasoningGraph
from dyngraph.reasoning_store import BEST_SCORE, MOST_IMAGINED
from dyngraph.state import State, below
from dyngraph.texts import TextVectors
from models.learned import Learned, Turn
from models.llmrg.capture import Asked, Examples, flat, restored
from models.llmrg.chains import Chains, gathered
from models.llmrg.stream import ChainsNetwork, StreamChainsConfig
from models.new_texts import NewTexts
from models.waiting import together, without_user

ITEM_ROTATION = 256
"""Items whose vectors are renewed after an update, in turn."""
USER_ROTATION = 32
"""Users whose graphs' vectors are renewed after an update, in turn."""

Temporal = Callable[[], Tensor]
"""Gives the temporal vectors ``[items, D]`` of all items, each as of its last refresh."""


class OnlineChains:
    """One LLMRG over an encoder's temporal vectors and the graph's item texts and reasoning graphs."""

    def __init__(self, config: StreamChainsConfig, temporal: Temporal, texts: TextVectors) -> None:
        self.config, self.texts, self._temporal = config, texts, temporal
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = ChainsNetwork(config)
        self.learned = Learned(self.network, config.lr, config.clip)
        parts = self.network.fusion.mix.in_features - config.dim
        self._lasting = Growable((config.dim,), torch.float32)
        self._new_texts = NewTexts(texts)
        self._parts = Growable((parts,), torch.float32)
        self._horizon = Growable((), torch.int64, fill=-1)
        self._imagined = Growable((MOST_IMAGINED,), torch.int32)
        self._scores = Growable((MOST_IMAGINED,), torch.float32)
        self._waiting: Examples | None = None
        self._seen = -1
        """Of the graph's reasoning store: up to which change its graphs are encoded."""
        self._item_turn, self._user_turn = Turn(ITEM_ROTATION), Turn(USER_ROTATION)
        self.grow(1, 1)

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._lasting.grow(items)
        for table in self._user_tables():
            table.grow(users)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._lasting.truncate(items)
        for table in self._user_tables():
            table.truncate(users)

    def _user_tables(self) -> Sequence[Growable]:
        return self._parts, self._horizon, self._imagined, self._scores

    # -- reading ----------------------------------------------------------------------------------------------

    def counts(self, users: Tensor, ts: Tensor) -> Tensor:
        """``[n]`` bool: whether the graph kept of user rows ``users [n]`` is from before ``ts [n]`` (ms)."""
        horizon = self._horizon.view[users]
        return (horizon >= 0) & (horizon < ts)

    def horizon(self, user: int) -> int:
        """Of the graph kept of one user row, ms; -1 for none."""
        return int(self._horizon.rows[user])

    def imagined(self, users: Tensor, ts: Tensor) -> tuple[Tensor, Tensor]:
        """Item rows imagined for ``users [n]``, ``[n, m]`` int64 with 0 for none, and their scores in [0, 1]."""
        there = self.counts(users, ts).unsqueeze(1)
        return self._imagined.view[users].long() * there, self._scores.view[users] * there

    @torch.no_grad()
    def users(self, users: Tensor, ts: Tensor, temporal: Tensor) -> Tensor:
        """``[n, d]`` fused vectors."""
        parts = self._parts.view[users] * self.counts(users, ts).unsqueeze(1)
        return self.network.users(parts, temporal)

    def logits(self, fused: Tensor, items: Tensor) -> Tensor:
        """``[n, C]`` of candidate rows ``items [n, C]`` for users with ``fused [n, d]`` vectors."""
        moving = (fused @ self.network.moving.weight.detach()).unsqueeze(2)
        by_time = torch.bmm(self._temporal()[items], moving)
        return (by_time + torch.bmm(self._lasting.view[items], fused.unsqueeze(2))).squeeze(2)

    @torch.no_grad()
    def item_vectors(self, items: Tensor) -> Tensor:
        """``[m, d]``"""
        return self.network.items(self._temporal()[items], self._lasting.view[items])

    # -- learning ---------------------------------------------------------------------------------------------

    def plan(
        self, graph: DynamicGraph, batch: EventBatch, asked: Asked, query: Tensor, *, learn: bool, seed: int
    ) -> ChainsUpdate:
        """What ``batch``, event e of which was asked as ``asked[query[e]]``, will change; nothing is written."""
        examples = self._waiting
        if learn:
            found = graph.reasoning.counting(asked.users, asked.ts)
            places = query.tolist()
            events = [e for e in batch.positive.nonzero().squeeze(1).tolist() if found[places[e]] is not None]
            graphs = [made for e in events if (made := found[places[e]]) is not None]
            items = batch.items[events]
            vectors, met = self._temporal()[items], graph.items.events[items]
            new = Examples(graphs, batch.users[events], asked.temporal[query[events]], items, vectors, met)
            examples = together(examples, new) if events else examples
        if not learn or examples is None or len(examples.graphs) < self.config.learn_events:
            return ChainsUpdate(self, graph, examples)
        gradients, loss = self._gradients(graph, examples, seed)
        return ChainsUpdate(self, graph, None, gradients, loss)

    @torch.enable_grad()
    def _gradients(self, graph: DynamicGraph, examples: Examples, seed: int) -> tuple[dict[str, Tensor], float]:
        """Of the sampled softmax over the examples' items and drawn ones (log-Q corrected, Yi et al. 2019)."""
        network, count = self.network, graph.sizes()[1]
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = torch.unique(torch.randint(1, count, (self.config.draws,), generator=generator))
        # An item that this batch brings cannot be drawn for it: nobody could have been shown it.
        drawn = drawn[graph.items.events[drawn] > 0]
        parts, others = self._encoded(graph, examples, drawn)
        taken = network.items(examples.vectors, network.lasting_parts(self._texts_of(examples.items)))
        logits = network.users(parts, examples.temporal) @ torch.cat((taken, others)).T
        pool, met = torch.cat((examples.items, drawn)), torch.cat((examples.met, graph.items.events[drawn]))
        size = len(examples.graphs)
        expected = size * met.float() / max(graph.events, 1) + max(len(drawn), 1) / count
        own = torch.arange(size)
        twice = (pool == examples.items.unsqueeze(1)).scatter(1, own.unsqueeze(1), False)
        choices = (logits - torch.log(expected.clamp(min=1e-9))).masked_fill(twice, -torch.inf)
        loss = functional.cross_entropy(choices, own)
        gradients, _ = self.learned.gradients(loss)
        return gradients, float(loss.detach())

    def _encoded(self, graph: DynamicGraph, examples: Examples, more: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of the examples' graphs ``[E, parts]`` and of item rows ``more [m]``, ``[m, d]``, with gradients.

        An item of a graph that is taken in one of the examples is as it was before the first of them.
        """
        chains = self._chains(graph, examples.graphs)
        local, table = self._local(chains, more)
        temporal = self._temporal()[table].clone()
        items, first = np.unique(examples.items.numpy(), return_index=True)
        among = np.isin(items, table.numpy())
        temporal[np.searchsorted(table.numpy(), items[among])] = examples.vectors[first[among]]
        vectors = self.network.items(temporal, self.network.lasting_parts(self._texts_of(table)))
        parts = torch.cat(self.network.fusion.graph_vectors(local, vectors), dim=1)
        return parts, functional.embedding(torch.searchsorted(table, more), vectors)

    def _chains(self, graph: DynamicGraph, graphs: Sequence[ReasoningGraph | None]) -> Chains:
        """The graphs as arrays; an item that the graph has no row for is left out."""
        there = [one for one in graphs if one is not None]
        ids = {step.item_id for one in there for step in one.steps}
        named = sorted(ids | {one.item_id for made in there for one in made.imagined} - {""})
        rows = graph.item_ids.find(named).tolist()
        known = {name: row for name, row in zip(named, rows, strict=True) if row}
        return gathered(graphs, known, self.config.text_dim)

    @staticmethod
    def _local(chains: Chains, more: Tensor) -> tuple[Chains, Tensor]:
        """The chains with items as places in a table of the rows that they and ``more`` name, and these rows."""
        named = np.concatenate((chains.item, chains.imagined_item, more.numpy(), np.zeros(1, np.int64)))
        table = np.unique(named)
        item, imagined = np.searchsorted(table, chains.item), np.searchsorted(table, chains.imagined_item)
        return chains._replace(item=item, imagined_item=imagined), torch.from_numpy(table)

    def _texts_of(self, items: Tensor) -> Tensor:
        return torch.from_numpy(self.texts.rows[items.numpy()])

    def learn(self, graph: DynamicGraph, gradients: dict[str, Tensor]) -> None:
        """Write an update, unless it is not finite: then it is counted and the last good weights stay."""
        if not self.learned.step(gradients):
            return
        users, items = graph.sizes()
        self.renew_items(self._item_turn.next(items))
        turn = self._user_turn.next(users)
        self.renew_users(graph, turn[self._horizon.view[turn] >= 0])

    def follow(self, graph: DynamicGraph, items: Tensor) -> None:
        """Renew what texts give to touched ``items [m]`` and to those with a new text since the last call, and encode
        the graphs that have come since. Within a step only.
        """
        self.renew_items(torch.unique(torch.cat((items, self._new_texts.rows()))))
        self._new_texts.taken()
        if graph.reasoning.changes != self._seen:
            self.renew_users(graph, self.outdated(graph))
            self._seen = graph.reasoning.changes

    @torch.no_grad()
    def renew_items(self, items: Tensor) -> None:
        """Compute what texts give to item rows ``items [m]`` anew."""
        self._lasting.view[items] = self.network.lasting_parts(self._texts_of(items))

    @torch.no_grad()
    def renew_users(self, graph: DynamicGraph, users: Tensor) -> None:
        """Encode the newest graphs of user rows ``users [n]`` anew."""
        if not len(users):
            return
        graphs = [graph.reasoning.newest(row) for row in users.tolist()]
        chains = self._chains(graph, graphs)
        local, table = self._local(chains, users[:0])
        self._parts.view[users] = torch.cat(self.network.fusion.graph_vectors(local, self.item_vectors(table)), dim=1)
        self._horizon.view[users] = torch.tensor([one.ts if one is not None else -1 for one in graphs])
        self._imagined.view[users] = 0
        self._scores.view[users] = 0
        place = np.arange(len(chains.imagined_user)) - np.searchsorted(chains.imagined_user, chains.imagined_user)
        kept = place < MOST_IMAGINED
        at = users.numpy()[chains.imagined_user[kept]], place[kept]
        self._imagined.rows[at] = chains.imagined_item[kept]
        self._scores.rows[at] = chains.imagined_score[kept] / BEST_SCORE

    def outdated(self, graph: DynamicGraph) -> Tensor:
        """User rows whose newest graph is not the one that is kept."""
        horizon = graph.reasoning.horizons(np.arange(len(self._horizon))).ts
        return torch.from_numpy(np.flatnonzero(horizon != self._horizon.rows))

    def keep(self, waiting: Examples | None) -> None:
        """Let ``waiting`` be what waits for the next update."""
        self._waiting = waiting

    def forget_user(self, user: int) -> None:
        """Drop the graph's vectors and the examples of a user."""
        for table in self._user_tables():
            table.view[user] = table.fill
        if self._waiting is not None:
            self._waiting = without_user(self._waiting, user)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Weights, optimiser, kept vectors, turns, waiting examples."""
        state = self.learned.state() | self._new_texts.state()
        state |= {name: table.view for name, table in self._tables().items()}
        state["turns"] = torch.tensor([self._item_turn.begin, self._user_turn.begin])
        if self._waiting is not None:
            state |= {f"waiting.{name}": value for name, value in flat(self._waiting).items()}
        return state

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self.learned.load_state(state)
        for name, table in self._tables().items():
            table.replace(state[name])
        self._item_turn.begin, self._user_turn.begin = state["turns"].tolist()
        self._new_texts.load_state(state)
        self._seen = -1
        waiting = below("waiting.", state)
        self._waiting = restored(waiting) if waiting else None

    def _tables(self) -> dict[str, Growable]:
        return {
            "lasting": self._lasting,
            "parts": self._parts,
            "horizon": self._horizon,
            "imagined": self._imagined,
            "scores": self._scores,
        }


@dataclass(frozen=True)
class ChainsUpdate:
    """What a batch changes: new weights, or what waits for them."""

    model: OnlineChains
    graph: DynamicGraph
    waiting: Examples | None
    gradients: dict[str, Tensor] = field(default_factory=dict)
    loss: float = 0.0

    def apply(self) -> None:
        """Write it."""
        self.model.keep(self.waiting)
        if self.gradients:
            self.model.learn(self.graph, self.gradients)
