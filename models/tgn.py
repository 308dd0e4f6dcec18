"""The temporal graph network: memory, attention, and on-line learning inside the step.

Source: Rossi et al., "Temporal Graph Networks for Deep Learning on Dynamic Graphs" (2020). As there, a message
waits raw until the next batch that touches its node and is applied on the gradient path; unlike PyG's port, a node
without a waiting message keeps its memory untouched and attention encodes query time minus edge time, so that an
answer depends on when it is asked for. Users and items have separate updaters and attention, and each node also
has a learned static vector (TGN's node features).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor, nn

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.groups import distinct_pairs
from dyngraph.growable import Growable
from dyngraph.nodes import NodeStore, RawMessages
from dyngraph.protocols import EncoderPlan
from dyngraph.state import State, gather, scatter
from dyngraph.time_encoding import TimeEncoding
from models.attention import EdgeFeatures, TemporalAttention
from models.embeddings import GrowableEmbedding
from models.examples import ExampleBuffer, Examples, Inputs, joined
from models.optimiser import NamedAdam
from models.tgn_learning import TGNUpdate, learn_from


class TGNConfig(msgspec.Struct, frozen=True):
    """Sizes and learning rates of the encoder."""

    dim: int = 64
    time_dim: int = 32
    heads: int = 2
    neighbours: int = 10
    learn_events: int = 32
    """Fewest events that an update learns from; smaller steps let their examples wait for company."""
    draws: int = 256
    """Most items drawn per update that share the softmax with the events' own items; 8 per event if fewer."""
    lr: float = 2e-3
    embedding_lr: float = 0.05
    refusal_weight: float = 0.5
    """Weight of the loss that pushes refused items away, relative to the softmax."""
    clip: float = 1.0
    seed: int = 0


class Side(nn.Module):
    """Updater, attention and static vectors of users, or of items."""

    def __init__(self, config: TGNConfig, edges: EdgeFeatures, clock: TimeEncoding, seed: int) -> None:
        super().__init__()
        self.edges, self.clock = edges, clock
        self.update = nn.GRUCell(2 * config.dim + edges.dim + clock.dim, config.dim)
        self.attention = TemporalAttention(config.dim, config.heads, edges, clock)
        self.static = GrowableEmbedding(config.dim, config.embedding_lr, seed)

    def apply_messages(self, raw: RawMessages) -> Tensor:
        """Memory ``[n, d]`` with waiting messages applied (eq. 3); rows without one are returned as they are."""
        message = torch.cat((raw.own, raw.other, self.edges(raw.types, raw.values), self.clock(raw.elapsed)), dim=1)
        return torch.where(raw.pending.unsqueeze(1), self.update(message, raw.own), raw.own)

    def embed(self, inputs: Inputs, static: Tensor) -> Tensor:
        """Embeddings ``[n, d]`` of captured inputs, memory updated on the gradient path; ``static [n, d]``."""
        h = self.apply_messages(inputs.raw) + static
        out: Tensor = self.attention(h, inputs.near, inputs.near_h, inputs.ts)
        return out


@dataclass(frozen=True)
class TGNPlan(EncoderPlan):
    """New memory of a batch's nodes and what was, or will be, learned; computed but not yet written."""

    users: Tensor
    """``[m]`` distinct user rows."""
    user_memory: Tensor
    """``[m, d]``"""
    items: Tensor
    """``[n]`` distinct item rows."""
    item_memory: Tensor
    """``[n, d]``"""
    waiting: Examples | None
    """Examples that still wait after this step."""


class TGN(nn.Module):
    """Encoder of the engine. See :class:`dyngraph.protocols.Encoder` for the contract."""

    def __init__(self, config: TGNConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            clock, edges = TimeEncoding(config.time_dim), EdgeFeatures()
            self.user = Side(config, edges, clock, config.seed)
            self.item = Side(config, edges, clock, config.seed + 1)
        self.version = 0
        """Updates written."""
        self.skipped = 0
        """Updates refused because they were not finite."""
        self.optimiser = NamedAdam(dict(self.named_parameters()), lr=config.lr)
        self._buffer = ExampleBuffer()
        self._vectors = Growable((config.dim,), torch.float32)
        self._cursor = 1
        self.grow(1, 1)

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self.user.static.grow(users)
        self.item.static.grow(items)
        self._vectors.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self.user.static.truncate(users)
        self.item.static.truncate(items)
        self._vectors.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def item_vectors(self) -> Tensor:
        """``[items, d]`` vectors as of each item's last refresh."""
        return self._vectors.view

    @torch.no_grad()
    def embed(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """User embeddings ``[n, d]`` at ``(ts, seq)``; unknown users (row 0) get the null node's."""
        return self._embed(self.user, graph.users, graph, users, ts, seq)

    def _embed(
        self, side: Side, store: NodeStore, graph: DynamicGraph, rows: Tensor, ts: Tensor, seq: Tensor
    ) -> Tensor:
        near = store.neighbours.before(rows, ts, seq)
        h = store.applied[rows] + side.static[rows]
        out: Tensor = side.attention(h, near, self._vectors_of(side, graph, near.nodes), ts)
        return out

    def _vectors_of(self, side: Side, graph: DynamicGraph, nodes: Tensor) -> Tensor:
        """Vectors ``[n, K, d]`` of the opposite side's nodes, as neighbours are seen: without gradient."""
        far, store = (self.item, graph.items) if side is self.user else (self.user, graph.users)
        return store.applied[nodes] + far.static[nodes]

    def _capture(
        self, side: Side, store: NodeStore, graph: DynamicGraph, rows: Tensor, ts: Tensor, seq: Tensor
    ) -> Inputs:
        near = store.neighbours.before(rows, ts, seq)
        return Inputs(rows, ts, store.waiting(rows), near, self._vectors_of(side, graph, near.nodes))

    # -- the step ---------------------------------------------------------------------------------------------

    def plan(self, graph: DynamicGraph, batch: EventBatch, *, learn: bool, seed: int) -> TGNPlan:
        """Apply waiting messages to the batch's nodes; learn, or let examples wait. Nothing is written."""
        users, items = torch.unique(batch.users), torch.unique(batch.items)
        with torch.no_grad():
            user_memory = self.user.apply_messages(graph.users.waiting(users))
            item_memory = self.item.apply_messages(graph.items.waiting(items))
        update, waiting = None, None
        if learn:
            waiting = self._buffer.with_(self._examples(graph, batch, items))
            if waiting.events >= self.config.learn_events and bool(waiting.wanted.any()):
                update = self._learn(graph, batch, waiting, seed)
                waiting = None
        return TGNPlan(update, users, user_memory, items, item_memory, waiting)

    def _examples(self, graph: DynamicGraph, batch: EventBatch, items: Tensor) -> Examples:
        telling = batch.positive | batch.negative
        baskets = distinct_pairs(batch.users[telling], batch.ts[telling])
        first = int(batch.seq.min())
        user_inputs = self._capture(
            self.user, graph.users, graph, baskets.left, baskets.right, torch.full_like(baskets.left, first)
        )
        now, before = torch.full_like(items, int(batch.ts.max())), torch.full_like(items, first)
        item_inputs = self._capture(self.item, graph.items, graph, items, now, before)
        place = torch.searchsorted(items, batch.items[telling])
        return Examples(user_inputs, item_inputs, baskets.place, place, batch.positive[telling])

    def _learn(self, graph: DynamicGraph, batch: EventBatch, examples: Examples, seed: int) -> TGNUpdate:
        """Add drawn items to the examples' own and compute the update."""
        draws = self._draws(examples.events)
        generator = torch.Generator().manual_seed(seed % (2**63))
        drawn = torch.unique(torch.randint(1, graph.sizes()[1], (draws,), generator=generator))
        now, before = torch.full_like(drawn, int(batch.ts.max())), torch.full_like(drawn, int(batch.seq.min()))
        pool = joined(examples.items, self._capture(self.item, graph.items, graph, drawn, now, before))
        # How often each item is expected in a pool: as an event's own item, or drawn.
        seen = graph.items.events[pool.rows].to(torch.float32)
        expected = examples.events * seen / max(graph.events, 1) + draws / graph.sizes()[1]
        return learn_from(self, examples._replace(items=pool), torch.log(expected))

    def _draws(self, events: int) -> int:
        return min(self.config.draws, 8 * events)

    @torch.no_grad()
    def commit(self, graph: DynamicGraph, batch: EventBatch, plan: EncoderPlan) -> None:
        """Write memory, store raw messages, insert edges, refresh what queries see."""
        assert isinstance(plan, TGNPlan)
        users, items = graph.users, graph.items
        users.keep_memory(plan.users, plan.user_memory)
        items.keep_memory(plan.items, plan.item_memory)
        at_user = torch.searchsorted(plan.users, batch.users)
        at_item = torch.searchsorted(plan.items, batch.items)
        # The last message of each node wins: index_put with repeats keeps the last write only by chance, so pick.
        order = torch.arange(len(batch))
        last_of_user = torch.zeros_like(plan.users).scatter_reduce_(0, at_user, order, "amax")
        last_of_item = torch.zeros_like(plan.items).scatter_reduce_(0, at_item, order, "amax")
        for side, store, rows, last, other in (
            (self.user, users, plan.users, last_of_user, plan.item_memory[at_item[last_of_user]]),
            (self.item, items, plan.items, last_of_item, plan.user_memory[at_user[last_of_item]]),
        ):
            store.keep_messages(rows, other, batch.types[last], batch.values[last], batch.ts[last])
            store.keep_applied(rows, side.apply_messages(store.waiting(rows)))
        users.neighbours.insert(batch.users, batch.items, batch.ts, batch.seq, batch.types, batch.values)
        items.neighbours.insert(batch.items, batch.users, batch.ts, batch.seq, batch.types, batch.values)
        users.count(batch.users)
        items.count(batch.items)
        self._buffer.keep(plan.waiting)
        self._refresh(graph, batch, plan)

    def _refresh(self, graph: DynamicGraph, batch: EventBatch, plan: TGNPlan) -> None:
        """Renew the vectors of touched items and, after an update, of the next items in rotation."""
        rows = plan.items
        count = graph.sizes()[1] - 1
        if plan.update is not None:
            turn = (torch.arange(min(self.config.draws, count)) + self._cursor - 1) % count + 1
            self._cursor = int(turn[-1]) % count + 1
            rows = torch.unique(torch.cat((rows, turn)))
        ts = torch.full_like(rows, int(batch.ts.max()))
        seq = torch.full_like(rows, int(batch.seq.max()) + 1)
        self._vectors.view[rows] = self._embed(self.item, graph.items, graph, rows, ts, seq)

    def forget_user(self, user: int) -> None:
        """Return a user's learned static vector to its start and drop the user's waiting examples."""
        self.user.static.forget(user)
        self._buffer.forget_user(user)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Weights, optimiser, static vectors, item vectors, waiting examples."""
        weights = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        counters = torch.tensor([self.version, self.skipped, self._cursor])
        return weights | gather(self._parts()) | {"vectors": self._vectors.view, "counters": counters}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        scatter(self._parts(), state)
        self._vectors.replace(state["vectors"])
        self.version, self.skipped, self._cursor = state["counters"].tolist()

    def _parts(self) -> dict[str, NamedAdam | GrowableEmbedding | ExampleBuffer]:
        return {
            "adam": self.optimiser,
            "user_static": self.user.static,
            "item_static": self.item.static,
            "examples": self._buffer,
        }
