"""The temporal graph network: memory, attention, and on-line learning inside the step.

Source: Rossi et al., "Temporal Graph Networks for Deep Learning on Dynamic Graphs" (2020). As there, a message
waits raw until the next batch that touches its node and is applied on the gradient path; unlike PyG's port, a node
without a waiting message keeps its memory untouched and attention encodes query time minus edge time, so that an
answer depends on when it is asked for. Users and items have separate updaters and attention, and each node also
has a learned static vector (TGN's node features).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.nodes import NodeStore, RawMessages
from dyngraph.protocols import EncoderPlan
from dyngraph.state import State
from dyngraph.time_encoding import TimeEncoding
from models.attention import EdgeFeatures, TemporalAttention
from models.embeddings import GrowableEmbedding
from models.optimiser import NamedAdam

FEWEST_DRAWS = 48


class TGNConfig(msgspec.Struct, frozen=True):
    """Sizes and learning rates of the encoder."""

    dim: int = 64
    time_dim: int = 32
    heads: int = 2
    neighbours: int = 10
    negatives: int = 256
    """Most items drawn per step that share the softmax with the batch's own items."""
    draws_per_event: int = 8
    """Small steps draw in proportion to their events, but at least :data:`FEWEST_DRAWS`."""
    refresh: int = 256
    """Most item vectors renewed per learning step besides the touched ones, in rotation; as many as were drawn."""
    lr: float = 2e-3
    embedding_lr: float = 0.05
    refusal_weight: float = 0.5
    """Weight of the loss that pushes refused items away, relative to the softmax."""
    clip: float = 1.0
    seed: int = 0


class _Side(nn.Module):
    """Updater and attention of users, or of items."""

    def __init__(self, config: TGNConfig, edges: EdgeFeatures, clock: TimeEncoding) -> None:
        super().__init__()
        self.edges, self.clock = edges, clock
        self.update = nn.GRUCell(2 * config.dim + edges.dim + clock.dim, config.dim)
        self.attention = TemporalAttention(config.dim, config.heads, edges, clock)

    def apply_messages(self, raw: RawMessages) -> Tensor:
        """Memory ``[n, d]`` with waiting messages applied (eq. 3); rows without one are returned as they are."""
        message = torch.cat((raw.own, raw.other, self.edges(raw.types, raw.values), self.clock(raw.elapsed)), dim=1)
        return torch.where(raw.pending.unsqueeze(1), self.update(message, raw.own), raw.own)


class TGN(nn.Module):
    """Encoder of the engine. See :class:`dyngraph.protocols.Encoder` for the contract."""

    def __init__(self, config: TGNConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            clock, edges = TimeEncoding(config.time_dim), EdgeFeatures()
            self.user, self.item = _Side(config, edges, clock), _Side(config, edges, clock)
        self.user_features = GrowableEmbedding(config.dim, config.embedding_lr, config.seed)
        self.item_features = GrowableEmbedding(config.dim, config.embedding_lr, config.seed + 1)
        self.version = 0
        self.skipped = 0
        self._optimiser = NamedAdam(dict(self.named_parameters()), lr=config.lr)
        self._vectors = Growable((config.dim,), torch.float32)
        self._cursor = 1
        self.grow(1, 1)

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self.user_features.grow(users)
        self.item_features.grow(items)
        self._vectors.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self.user_features.truncate(users)
        self.item_features.truncate(items)
        self._vectors.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def item_vectors(self) -> Tensor:
        """``[items, d]`` vectors as of each item's last refresh."""
        return self._vectors.view

    @torch.no_grad()
    def embed(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """User embeddings ``[n, d]`` at ``(ts, seq)``; unknown users (row 0) get the null node's."""
        return self._attend(self.user, graph.users, users, graph.users.applied[users], graph, ts, seq)

    def _attend(
        self,
        side: _Side,
        store: NodeStore,
        rows: Tensor,
        memory: Tensor,
        graph: DynamicGraph,
        ts: Tensor,
        seq: Tensor,
        features: Tensor | None = None,
    ) -> Tensor:
        if store is graph.users:
            own, other, far = self.user_features, self.item_features, graph.items
        else:
            own, other, far = self.item_features, self.user_features, graph.users
        near = store.neighbours.before(rows, ts, seq)
        near_h = far.applied[near.nodes] + other[near.nodes]
        h = memory + (own[rows] if features is None else features)
        out: Tensor = side.attention(h, near, near_h, ts)
        return out

    # -- the step ---------------------------------------------------------------------------------------------

    def plan(self, graph: DynamicGraph, batch: EventBatch, *, learn: bool, seed: int) -> EncoderPlan:
        """Apply waiting messages to the batch's nodes; if learning, compute gradients (nothing is written)."""
        users, items = torch.unique(batch.users), torch.unique(batch.items)
        if not (learn and bool(batch.positive.any())):
            with torch.no_grad():
                user_memory = self.user.apply_messages(graph.users.waiting(users))
                item_memory = self.item.apply_messages(graph.items.waiting(items))
            return EncoderPlan(users, user_memory, items, item_memory, None)
        pool = self._pool(graph, items, self._draws(batch), seed)
        user_memory = self.user.apply_messages(graph.users.waiting(users))
        pool_memory = self.item.apply_messages(graph.items.waiting(pool))
        user_x = self.user_features[users].requires_grad_()
        pool_x = self.item_features[pool].requires_grad_()
        loss = self._loss(graph, batch, users, user_memory, user_x, pool, pool_memory, pool_x)
        parameters = self._optimiser.parameters
        gradients = torch.autograd.grad(loss, [*parameters.values(), user_x, pool_x], allow_unused=True)
        update = _TGNUpdate(
            self,
            float(loss.detach()),
            dict(zip(parameters, gradients[:-2], strict=True)),
            (users, gradients[-2]),
            (pool, gradients[-1]),
        )
        item_memory = pool_memory.detach()[torch.searchsorted(pool, items)]
        return EncoderPlan(users, user_memory.detach(), items, item_memory, update)

    def _draws(self, batch: EventBatch) -> int:
        return min(self.config.negatives, max(self.config.draws_per_event * len(batch), FEWEST_DRAWS))

    def _pool(self, graph: DynamicGraph, items: Tensor, draws: int, seed: int) -> Tensor:
        """Distinct rows: the batch's items and uniform draws from all items seen so far."""
        generator = torch.Generator().manual_seed(seed % (2**63))
        drawn = torch.randint(1, graph.sizes()[1], (draws,), generator=generator)
        return torch.unique(torch.cat((items, drawn)))

    def _loss(
        self,
        graph: DynamicGraph,
        batch: EventBatch,
        users: Tensor,
        user_memory: Tensor,
        user_x: Tensor,
        pool: Tensor,
        pool_memory: Tensor,
        pool_x: Tensor,
    ) -> Tensor:
        """Sampled softmax over the pool with log-Q correction (Yi et al. 2019), and a push away from refused items."""
        interesting = batch.positive | batch.negative
        keys, query = torch.unique(torch.stack((batch.users, batch.ts))[:, interesting], dim=1, return_inverse=True)
        place = torch.searchsorted(users, keys[0].contiguous())
        seq = torch.full_like(keys[0], int(batch.seq.min()))
        z = self._attend(self.user, graph.users, keys[0], user_memory[place], graph, keys[1], seq, user_x[place])
        now = torch.full_like(pool, int(batch.ts.max()))
        v = self._attend(self.item, graph.items, pool, pool_memory, graph, now, seq[:1].expand_as(pool), pool_x)
        logits = z @ v.T / math.sqrt(self.config.dim)
        target = torch.searchsorted(pool, batch.items[interesting])
        wanted = batch.positive[interesting]
        loss: Tensor = functional.cross_entropy(
            (logits - self._log_q(graph, batch, pool))[query[wanted]], target[wanted]
        )
        if not bool(wanted.all()):
            refused = logits[query[~wanted], target[~wanted]]
            loss = loss + self.config.refusal_weight * functional.softplus(refused).sum() / len(batch)
        return loss

    def _log_q(self, graph: DynamicGraph, batch: EventBatch, pool: Tensor) -> Tensor:
        """Log of how often each pool item is expected in a pool: as a batch item, or drawn."""
        seen = graph.items.events[pool].to(torch.float32)
        share = len(batch) * seen / max(graph.events, 1)
        return torch.log(share + self._draws(batch) / graph.sizes()[1])

    @torch.no_grad()
    def commit(self, graph: DynamicGraph, batch: EventBatch, plan: EncoderPlan) -> None:
        """Write memory, store raw messages, insert edges, refresh what queries see."""
        users, items = graph.users, graph.items
        users.keep_memory(plan.users, plan.user_memory)
        items.keep_memory(plan.items, plan.item_memory)
        at_user = torch.searchsorted(plan.users, batch.users)
        at_item = torch.searchsorted(plan.items, batch.items)
        # The last message of each node wins: index_put with repeats keeps the last write only by chance, so pick.
        order = torch.arange(len(batch))
        last_of_user = torch.zeros_like(plan.users).scatter_reduce_(0, at_user, order, "amax")
        last_of_item = torch.zeros_like(plan.items).scatter_reduce_(0, at_item, order, "amax")
        for store, rows, last, other in (
            (users, plan.users, last_of_user, plan.item_memory[at_item[last_of_user]]),
            (items, plan.items, last_of_item, plan.user_memory[at_user[last_of_item]]),
        ):
            store.keep_messages(rows, other, batch.types[last], batch.values[last], batch.ts[last])
        users.keep_applied(plan.users, self.user.apply_messages(users.waiting(plan.users)))
        items.keep_applied(plan.items, self.item.apply_messages(items.waiting(plan.items)))
        users.neighbours.insert(batch.users, batch.items, batch.ts, batch.seq, batch.types, batch.values)
        items.neighbours.insert(batch.items, batch.users, batch.ts, batch.seq, batch.types, batch.values)
        users.count(batch.users)
        items.count(batch.items)
        self._refresh(graph, batch, plan)

    def _refresh(self, graph: DynamicGraph, batch: EventBatch, plan: EncoderPlan) -> None:
        """Renew the vectors of touched items and, after learning, of the next items in rotation."""
        rows = plan.items
        count = graph.sizes()[1] - 1
        if plan.update is not None and count:
            turn = (torch.arange(min(self._draws(batch), self.config.refresh, count)) + self._cursor - 1) % count + 1
            self._cursor = int(turn[-1]) % count + 1
            rows = torch.unique(torch.cat((rows, turn)))
        ts = torch.full_like(rows, int(batch.ts.max()))
        seq = torch.full_like(rows, int(batch.seq.max()) + 1)
        self._vectors.view[rows] = self._attend(self.item, graph.items, rows, graph.items.applied[rows], graph, ts, seq)

    def write(self, update: _TGNUpdate) -> None:
        """Write a learned update, unless it is not finite: then count it and keep the last good weights."""
        sparse = torch.cat((update.user_rows[1], update.item_rows[1]))
        dense = {name: gradient for name, gradient in update.dense.items() if gradient is not None}
        if not (bool(torch.isfinite(sparse).all()) and self._optimiser.step(dense, clip=self.config.clip)):
            self.skipped += 1
            return
        self.user_features.descend(*update.user_rows)
        self.item_features.descend(*update.item_rows)
        self.version += 1

    def forget_user(self, user: int) -> None:
        """Return a user's learned static vector to its start."""
        self.user_features.forget(user)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Weights, optimiser, static vectors, item vectors."""
        state = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        for name, part in (
            ("adam", self._optimiser),
            ("user_x", self.user_features),
            ("item_x", self.item_features),
        ):
            state |= {f"{name}.{key}": value for key, value in part.state().items()}
        counters = torch.tensor([self.version, self.skipped, self._cursor])
        return state | {"vectors": self._vectors.view, "counters": counters}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        for name, part in (
            ("adam", self._optimiser),
            ("user_x", self.user_features),
            ("item_x", self.item_features),
        ):
            part.load_state(
                {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            )
        self._vectors.replace(state["vectors"])
        self.version, self.skipped, self._cursor = state["counters"].tolist()


@dataclass(frozen=True)
class _TGNUpdate:
    """Gradients of one step, waiting to be written."""

    encoder: TGN
    loss: float
    dense: dict[str, Tensor | None]
    user_rows: tuple[Tensor, Tensor]
    item_rows: tuple[Tensor, Tensor]

    def apply(self) -> None:
        """Write them."""
        self.encoder.write(self)
