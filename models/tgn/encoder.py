"""The temporal graph network: memory, attention, and on-line learning inside the step.

Source: Rossi et al., "Temporal Graph Networks for Deep Learning on Dynamic Graphs" (2020). As there, a message
waits raw and is applied on the gradient path when its node is learned from; unlike PyG's port, a node without a waiting
message keeps its memory untouched and attention encodes query time minus edge time, so that an answer depends on when
it is asked for. Users and items have weights of their own, and each node also has a learned static vector (TGN's node
features), joined to its memory by addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from dyngraph.arrays import NUMPY, Array, Arrays
from dyngraph.batch import BatchArrays, EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.protocols import EncoderPlan
from dyngraph.state import State, gather, scatter
from models.embeddings import GrowableEmbedding
from models.optimiser import NamedAdam
from models.tgn.config import TGNConfig
from models.tgn.curriculum import ITEMS, USERS, lesson
from models.tgn.examples import Examples
from models.tgn.learning import TGNUpdate, learn_from
from models.tgn.past import Past
from models.tgn.sides import Side
from models.tgn.view import View, stores

ROTATION = 256
"""Items whose vectors are renewed after an update, besides the touched ones, in turn."""
AT_ONCE = 4_096
"""Items whose vectors are renewed at once when weights are switched; more follow in turn, a rotation each step."""


@dataclass(frozen=True)
class TGNPlan(EncoderPlan):
    """What a batch will write: computed, but nothing written yet."""

    columns: BatchArrays
    messages: tuple[tuple[Array, Array], tuple[Array, Array]] | None
    """For users and for items: memory ``[g, d]`` of the batch's nodes with all earlier messages applied, and the
    message ``[g, m]`` that each will wait with."""
    learned: Examples | None
    """New examples that the update learned from."""
    waiting: Examples | None
    """Examples that still wait after this step."""


class TGN(nn.Module):
    """Encoder of the engine. See :class:`dyngraph.protocols.Encoder` for the contract."""

    def __init__(self, config: TGNConfig, arrays: Arrays = NUMPY, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.config, self._arrays, self._device = config, arrays, torch.device(device)

        def side(vector_dim: int, seed: int) -> Side:
            static = GrowableEmbedding(config.dim, config.embedding_lr, seed, arrays, device)
            return Side(config, vector_dim, static)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.user, self.item = side(config.user_dim, config.seed), side(config.item_dim, config.seed + 1)
        self.to(device)
        self.version = 0
        """Updates written."""
        self.skipped = 0
        """Updates refused because they were not finite."""
        self.optimiser = NamedAdam(
            {name: value for name, value in self.named_parameters() if value.requires_grad}, lr=config.lr
        )
        self._view = View(config, (self.user, self.item), arrays, device)
        self._past = Past(config.replay, config.seed)
        self._vectors = Growable((config.dim,), torch.float32, 0, arrays, device)
        self._cursor = 1
        self._due = 0
        self._sizes = 0, 0
        self.grow(1, 1)

    def graph(self, text_dim: int = 0, concept_dim: int = 0) -> DynamicGraph:
        """An empty graph as this encoder needs it, with room for profiles and item texts of width ``text_dim``, and for
        reasoning graphs with concepts of width ``concept_dim``.
        """
        config = self.config
        return DynamicGraph(
            0 if config.memory == "none" else config.dim,
            config.neighbours,
            message=config.message_width,
            edge_dim=config.edge_dim,
            user_dim=config.user_dim,
            item_dim=config.item_dim,
            profile_dim=text_dim,
            text_dim=text_dim,
            concept_dim=concept_dim,
            arrays=self._arrays,
            device=self._device,
        )

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        if (users, items) != self._sizes:
            self._sizes = users, items
            self.user.static.grow(users)
            self.item.static.grow(items)
            self._view.grow((users, items))
            self._vectors.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._sizes = users, items
        self.user.static.truncate(users)
        self.item.static.truncate(items)
        self._view.truncate((users, items))
        self._vectors.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def item_vectors(self) -> Tensor:
        """``[items, d]`` vectors as of each item's last refresh."""
        return self._vectors.view

    def embed(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """User embeddings ``[n, d]`` at ``(ts, seq)``; unknown users (row 0) get the null node's."""
        return self._view.embed(graph, USERS, users, ts, seq)

    def embed_items(self, graph: DynamicGraph, items: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """Item embeddings ``[n, d]`` at ``(ts, seq)``."""
        return self._view.embed(graph, ITEMS, items, ts, seq)

    # -- the step ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def plan(self, graph: DynamicGraph, batch: EventBatch, *, learn: bool, seed: int) -> TGNPlan:
        """Form the batch's messages from memory before it; learn, or let examples wait. Nothing is written."""
        columns = batch.arrays(self._arrays)
        messages = None if self.config.memory == "none" else self._messages(graph, columns)
        if not learn:
            return TGNPlan(None, columns, messages, None, self._past.waiting)
        taught = lesson(self.config, self._past, graph, batch, partial(self._view.capture, graph), seed)
        update = None if taught.mixed is None else learn_from(self, graph, taught.mixed, taught.log_q)
        return TGNPlan(update, columns, messages, taught.learned, taught.waiting)

    def _messages(self, graph: DynamicGraph, columns: BatchArrays) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Memory and new raw messages of the batch's nodes, for users and for items."""
        xp, view, gatherer = self._arrays, self._view, self._view.gatherer(graph)
        runs, nodes, kept = (columns.by_user, columns.by_item), (columns.users, columns.items), stores(graph)
        memory = [view.memory(kept[side], side, runs[side].distinct) for side in (USERS, ITEMS)]
        last = self.config.aggregator == "last"

        def message(side: int) -> Array:
            far, own = 1 - side, runs[side]

            def of(column: Array) -> Array:
                return xp.take(column, own.last) if last else column

            rows, ts = of(nodes[side]), of(columns.ts)
            if self.config.message_other == "embedding":
                other = view.attend(graph, far, of(nodes[far]), ts, ts * 0 + columns.seq.min())
            else:
                other = xp.take(memory[far], of(runs[far].place))
            edges = gatherer.edges(of(columns.types), of(columns.edges), kept[side].elapsed(rows, ts))
            raw = xp.join((other, edges))
            return raw if last else xp.mean_of_runs(raw, own)

        return (memory[USERS], message(USERS)), (memory[ITEMS], message(ITEMS))

    @torch.no_grad()
    def commit(self, graph: DynamicGraph, batch: EventBatch, plan: EncoderPlan) -> None:
        """Write memory, store raw messages, insert edges."""
        assert isinstance(plan, TGNPlan)
        xp, columns = self._arrays, plan.columns
        if isinstance(plan.update, TGNUpdate):
            # New static vectors are seen from now on.
            self._view.renew(graph, USERS, xp.of(plan.update.user_rows[0]))
            self._view.renew(graph, ITEMS, xp.of(plan.update.item_rows[0]))
        for side, (store, runs) in enumerate(zip(stores(graph), (columns.by_user, columns.by_item), strict=True)):
            if plan.messages is not None:
                memory, message = plan.messages[side]
                applied = self._view.update(side, memory, message)
                store.keep(runs.distinct, memory, message, applied)
                self._view.renew(graph, side, runs.distinct, applied)
            store.met(runs, xp.take(columns.ts, runs.last))
        edge = columns.ts, columns.seq, columns.types, columns.edges
        graph.users.neighbours.insert(columns.users, columns.by_user, columns.items, *edge)
        graph.items.neighbours.insert(columns.items, columns.by_item, columns.users, *edge)
        self._past.keep(plan.waiting, plan.learned)

    @torch.no_grad()
    def refresh(self, graph: DynamicGraph, batch: EventBatch, *, learned: bool) -> None:
        """Renew the vectors of touched items and, after an update, of the next items in rotation."""
        rows = torch.unique(batch.items)
        count = graph.sizes()[1] - 1
        if learned or self._due > 0:
            self._due = max(self._due - ROTATION, 0)
            turn = (torch.arange(min(ROTATION, count)) + self._cursor - 1) % count + 1
            self._cursor = int(turn[-1]) % count + 1
            self._view.renew(graph, ITEMS, self._arrays.of(turn))
            rows = torch.unique(torch.cat((rows, turn)))
        after = int(batch.seq.max()) + 1
        self._revise(graph, rows, int(batch.ts.max()), after)

    def _revise(self, graph: DynamicGraph, items: Tensor, ts: int, seq: int) -> None:
        """Renew the vectors of ``items [n]`` as of ``(ts, seq)``."""
        self._vectors.view[items] = self.embed_items(
            graph, items, torch.full_like(items, ts), torch.full_like(items, seq)
        )

    @torch.no_grad()
    def described(self, graph: DynamicGraph, users: Tensor, items: Tensor) -> None:
        """Take notice of new static vectors of ``users [n]`` and ``items [m]``."""
        self._view.renew(graph, USERS, self._arrays.of(users))
        self._view.renew(graph, ITEMS, self._arrays.of(items))
        moment = graph.horizon.next()
        self._revise(graph, items, moment.ts, moment.seq)

    def forget_user(self, user: int) -> None:
        """Return a user's learned static vector to its start and drop the user's examples."""
        self.user.static.forget(user)
        self._view.forget_user(user)
        self._past.forget_user(user)

    # -- weights and state ------------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Take notice that dense weights were written."""
        self._view.weights_changed()

    def weights(self) -> State:
        """All that was learned, and nothing of the graph: dense weights and static vectors."""
        rows = {"static.user": self.user.static.view, "static.item": self.item.static.view}
        return self._dense() | rows

    @torch.no_grad()
    def use_weights(self, graph: DynamicGraph, weights: State, version: int) -> None:
        """Take :meth:`weights` of another encoder of the same settings that has seen the same log, ahead or behind.

        Rows beyond the given ones keep their vectors. What is seen of nodes is renewed here, as are the vectors of up
        to :data:`AT_ONCE` items; a larger catalogue follows with the next steps, so that no list waits for it.
        """
        self._take_dense(weights)
        self.version = version
        for name, static in (("user", self.user.static), ("item", self.item.static)):
            static.replace(weights[f"static.{name}"][: len(static)])
        self._view.renew_all(graph)
        moment, items = graph.horizon.next(), graph.sizes()[1]
        turn = torch.arange(min(AT_ONCE, items - 1), device=self._device)
        turn = (turn + self._cursor - 1) % max(items - 1, 1) + 1
        self._revise(graph, turn, moment.ts, moment.seq)
        if len(turn):
            self._cursor = int(turn[-1]) % (items - 1) + 1
        self._due = items - 1 - len(turn)

    def _dense(self) -> State:
        return {f"weight.{name}": value.detach() for name, value in self.named_parameters()}

    @torch.no_grad()
    def _take_dense(self, state: State) -> None:
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        self.weights_changed()

    def state(self) -> State:
        """Weights, optimiser, static vectors, what is seen of nodes, item vectors, examples."""
        counters = torch.tensor([self.version, self.skipped, self._cursor, self._due])
        return self._dense() | gather(self._parts()) | {"vectors": self._vectors.view, "counters": counters}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._take_dense(state)
        scatter(self._parts(), state)
        self._vectors.replace(state["vectors"])
        self._sizes = len(self.user.static), len(self.item.static)
        self.version, self.skipped, self._cursor, self._due = state["counters"].tolist()

    def _parts(self) -> dict[str, NamedAdam | GrowableEmbedding | View | Past]:
        return {
            "adam": self.optimiser,
            "user_static": self.user.static,
            "item_static": self.item.static,
            "seen": self._view,
            "examples": self._past,
        }
