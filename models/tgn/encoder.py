"""The temporal graph network: memory, attention, and on-line learning inside the step.

Source: Rossi et al., "Temporal Graph Networks for Deep Learning on Dynamic Graphs" (2020). As there, a message
waits raw and is applied on the gradient path when its node is learned from; unlike PyG's port, a node without a waiting
message keeps its memory untouched and attention encodes query time minus edge time, so that an answer depends on when
it is asked for. Users and items have weights of their own, and each node also has a learned static vector (TGN's node
features), joined to its memory by addition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dyngraph.arrays import NUMPY, Array, Arrays
from dyngraph.batch import BatchArrays, EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.groups import distinct_pairs
from dyngraph.growable import Growable
from dyngraph.nodes import NodeStore, RawMessages
from dyngraph.protocols import EncoderPlan
from dyngraph.state import State, gather, scatter
from dyngraph.time_encoding import TimeEncoding
from models.embeddings import GrowableEmbedding
from models.optimiser import NamedAdam
from models.tgn.config import TGNConfig
from models.tgn.examples import Examples, Inputs, each, joined
from models.tgn.formulas import projected, updated
from models.tgn.learning import TGNUpdate, learn_from
from models.tgn.past import Past
from models.tgn.reading import Gatherer, changed, through_layers
from models.tgn.sides import Folded, Side, frozen

USERS, ITEMS = 0, 1


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
        self._clock = TimeEncoding(config.time_dim)
        self.version = 0
        """Updates written."""
        self.skipped = 0
        """Updates refused because they were not finite."""
        self.optimiser = NamedAdam(
            {name: value for name, value in self.named_parameters() if value.requires_grad}, lr=config.lr
        )
        self._past = Past(config.replay, config.seed)
        # What queries and neighbours see of a node: memory and static vectors, as of its last renewal.
        self._seen = tuple(Growable((config.dim,), torch.float32, 0, arrays, device) for _ in (USERS, ITEMS))
        self._vectors = Growable((config.dim,), torch.float32, 0, arrays, device)
        self._cursor = 1
        self._folded: tuple[Folded, Folded] | None = None
        self.grow(1, 1)

    def graph(self) -> DynamicGraph:
        """An empty graph as this encoder needs it."""
        config = self.config
        return DynamicGraph(
            0 if config.memory == "none" else config.dim,
            config.neighbours,
            message=config.message_width,
            edge_dim=config.edge_dim,
            user_dim=config.user_dim,
            item_dim=config.item_dim,
            arrays=self._arrays,
            device=self._device,
        )

    @property
    def sides(self) -> tuple[Side, Side]:
        """Users and items."""
        return self.user, self.item

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        for side, seen, length in zip(self.sides, self._seen, (users, items), strict=True):
            start = len(seen)
            if length > start:
                side.static.grow(length)
                seen.grow(length)
                seen.view[start:] = side.static[torch.arange(start, length, device=self._device)]
        self._vectors.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        for side, seen, length in zip(self.sides, self._seen, (users, items), strict=True):
            side.static.truncate(length)
            seen.truncate(length)
        self._vectors.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def item_vectors(self) -> Tensor:
        """``[items, d]`` vectors as of each item's last refresh."""
        return self._vectors.view

    def embed(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """User embeddings ``[n, d]`` at ``(ts, seq)``; unknown users (row 0) get the null node's."""
        return self._asked(graph, USERS, users, ts, seq)

    def embed_items(self, graph: DynamicGraph, items: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """Item embeddings ``[n, d]`` at ``(ts, seq)``."""
        return self._asked(graph, ITEMS, items, ts, seq)

    def _asked(self, graph: DynamicGraph, side: int, rows: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        of = self._arrays.of
        with torch.no_grad():
            z: Tensor = self._arrays.tensor(self._embed(graph, side, of(rows), of(ts), of(seq)))
        return z

    def _weights(self) -> tuple[Folded, Folded]:
        """Folded weights for reads; made anew when weights have changed."""
        if self._folded is None:
            with torch.no_grad():
                user, item = (frozen(self._arrays, side.folded()) for side in self.sides)
            self._folded = user, item
        return self._folded

    def _h(self, graph: DynamicGraph, side: int, rows: Array) -> Array:
        """Vectors ``[..., d]`` that queries and neighbours use of ``rows [...]``."""
        if self.config.cache:
            return self._arrays.take(self._seen[side].rows, rows)
        flat = rows.reshape(-1)
        return self._fresh(graph, side, flat).reshape(*rows.shape, -1)

    def _fresh(self, graph: DynamicGraph, side: int, rows: Array) -> Array:
        """The same, computed from memory, static vectors and text as they are now: ``[n, d]``."""
        xp, store = self._arrays, _stores(graph)[side]
        h = xp.take(self.sides[side].static.rows, rows)
        if self.config.memory != "none":
            h = h + self._applied(store, side, rows)
        text = self._weights()[side].text
        return h if text is None else h + xp.take(store.vectors, rows) @ text

    def _applied(self, store: NodeStore, side: int, rows: Array) -> Array:
        """Memory ``[n, d]`` with what waits applied."""
        xp = self._arrays
        if self.config.cache:
            return xp.take(store.applied, rows)
        raw = store.waiting(rows)
        updater = self._weights()[side].updater
        assert updater is not None
        return xp.where(raw.pending[:, None], updated(xp, updater, raw.own, raw.message), raw.own)

    def _gatherer(self, graph: DynamicGraph) -> Gatherer:
        return Gatherer(self._arrays, self._clock, _stores(graph), lambda side, rows: self._h(graph, side, rows))

    def _embed(self, graph: DynamicGraph, side: int, rows: Array, ts: Array, seq: Array) -> Array:
        kind = self.config.embedding
        if kind == "attention":
            return self._attend(graph, side, rows, ts, seq)
        h = self._h(graph, side, rows)
        drift = self._weights()[side].drift
        return h if drift is None else projected(drift, h, self._gatherer(graph).away(side, rows, ts))

    def _attend(self, graph: DynamicGraph, side: int, rows: Array, ts: Array, seq: Array) -> Array:
        weights, depth = self._weights(), self.config.layers
        slots = self._gatherer(graph).slots(side, rows, ts, seq, depth)
        return through_layers(self._arrays, weights[side], weights[1 - side], self._h(graph, side, rows), slots, depth)

    def _capture(self, graph: DynamicGraph, side: int, rows: Tensor, ts: Tensor, seq: Tensor) -> Inputs:
        """What an embedding at ``(ts, seq)`` is computed from, kept for the gradient path."""
        xp, store = self._arrays, _stores(graph)[side]
        at, moments, gatherer = xp.of(rows), xp.of(ts), self._gatherer(graph)
        tensor = xp.tensor
        slots = None
        if self.config.embedding == "attention":
            slots = changed(gatherer.slots(side, at, moments, xp.of(seq), self.config.layers), tensor)
        raw = RawMessages(*map(tensor, store.waiting(at)))
        return Inputs(tensor(at), tensor(gatherer.away(side, at, moments)), raw, slots)

    # -- the step ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def plan(self, graph: DynamicGraph, batch: EventBatch, *, learn: bool, seed: int) -> TGNPlan:
        """Form the batch's messages from memory before it; learn, or let examples wait. Nothing is written."""
        columns = batch.arrays(self._arrays)
        messages = None if self.config.memory == "none" else self._messages(graph, columns)
        update, learned, waiting = None, None, self._past.waiting
        if learn:
            waiting = self._past.with_(self._examples(graph, batch))
            if waiting.events >= self.config.learn_events and bool(waiting.wanted.any()):
                learned, waiting = waiting, None
                update = self._learn(graph, batch, learned, seed)
        return TGNPlan(update, columns, messages, learned, waiting)

    def _messages(self, graph: DynamicGraph, columns: BatchArrays) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Memory and new raw messages of the batch's nodes, for users and for items."""
        xp, stores, gatherer = self._arrays, _stores(graph), self._gatherer(graph)
        runs, nodes = (columns.by_user, columns.by_item), (columns.users, columns.items)
        memory = [self._applied(stores[side], side, runs[side].distinct) for side in (USERS, ITEMS)]

        def message(side: int) -> Array:
            far, own = 1 - side, runs[side]
            last = self.config.aggregator == "last"

            def of(column: Array) -> Array:
                return xp.take(column, own.last) if last else column

            rows, ts = of(nodes[side]), of(columns.ts)
            if self.config.message_other == "embedding":
                first = ts * 0 + columns.seq.min()
                other = self._attend(graph, far, of(nodes[far]), ts, first)
            else:
                other = xp.take(memory[far], of(runs[far].place))
            edges = gatherer.edges(of(columns.types), of(columns.edges), stores[side].elapsed(rows, ts))
            raw = xp.join((other, edges))
            return raw if last else xp.mean_of_runs(raw, own)

        return (memory[USERS], message(USERS)), (memory[ITEMS], message(ITEMS))

    def _examples(self, graph: DynamicGraph, batch: EventBatch) -> Examples:
        telling = batch.positive | batch.negative
        first = batch.seq.min()
        baskets = distinct_pairs(batch.users[telling], batch.ts[telling])
        users = self._capture(graph, USERS, baskets.left, baskets.right, first.expand_as(baskets.left))
        # Own and drawn items are asked for at one moment: whatever told them apart would tell the answer.
        met, place = torch.unique(batch.items[telling], return_inverse=True)
        items = self._capture(graph, ITEMS, met, batch.ts.max().expand_as(met), first.expand_as(met))
        examples = Examples(users, items, baskets.place, place, batch.positive[telling])
        here: Examples = each(lambda part: part.to(self._device), examples)
        return here

    def _learn(self, graph: DynamicGraph, batch: EventBatch, examples: Examples, seed: int) -> TGNUpdate:
        """Add past examples and drawn items to the new ones and compute the update."""
        generator = torch.Generator().manual_seed(seed % (2**63))
        examples = self._past.mixed(examples, self.config.replay_share, generator)
        items = graph.sizes()[1]
        drawn = self._drawn(examples.events, items, generator).to(batch.ts.device)
        now, before = batch.ts.max().expand_as(drawn), batch.seq.min().expand_as(drawn)
        pool = joined(examples.items, self._capture(graph, ITEMS, drawn, now, before))
        # How often each item is expected in a pool: as an event's own item, or drawn.
        seen = graph.items.events[pool.rows].to(torch.float32)
        expected = examples.events * seen / max(graph.events, 1) + drawn.shape[0] / items
        return learn_from(self, graph, examples._replace(items=pool), torch.log(expected))

    def _drawn(self, events: int, items: int, generator: torch.Generator) -> Tensor:
        """Item rows that join the events' own."""
        if self.config.loss == "bpr":
            return torch.randint(1, items, (events,), generator=generator)
        if not self.config.draws:
            return torch.arange(1, items)
        draws = torch.randint(1, items, (min(self.config.draws, 8 * events),), generator=generator)
        drawn: Tensor = torch.unique(draws)
        return drawn

    @torch.no_grad()
    def commit(self, graph: DynamicGraph, batch: EventBatch, plan: EncoderPlan) -> None:
        """Write memory, store raw messages, insert edges."""
        assert isinstance(plan, TGNPlan)
        if isinstance(plan.update, TGNUpdate):
            self._renew_learned(graph, plan.update)
        columns, stores = plan.columns, _stores(graph)
        for side, runs in ((USERS, columns.by_user), (ITEMS, columns.by_item)):
            store = stores[side]
            if plan.messages is not None:
                memory, message = plan.messages[side]
                updater = self._weights()[side].updater
                assert updater is not None
                applied = updated(self._arrays, updater, memory, message)
                store.keep(runs.distinct, memory, message, applied)
                self._renew(graph, side, runs.distinct, applied)
            store.met(runs, self._arrays.take(columns.ts, runs.last))
        edge = columns.ts, columns.seq, columns.types, columns.edges
        graph.users.neighbours.insert(columns.users, columns.by_user, columns.items, *edge)
        graph.items.neighbours.insert(columns.items, columns.by_item, columns.users, *edge)
        self._past.keep(plan.waiting, plan.learned)

    def _renew(self, graph: DynamicGraph, side: int, rows: Array, applied: Array) -> None:
        """Renew what queries see of distinct ``rows`` with memory ``applied [n, d]``."""
        xp, weights = self._arrays, self._weights()[side]
        h = applied + xp.take(self.sides[side].static.rows, rows)
        if weights.text is not None:
            h = h + xp.take(_stores(graph)[side].vectors, rows) @ weights.text
        self._seen[side].rows[rows] = h
        if xp.fixed_shapes:
            self._seen[side].rows[0] = 0

    def _renew_learned(self, graph: DynamicGraph, update: TGNUpdate) -> None:
        """New weights are folded anew, and new static vectors are seen from now on."""
        for side, rows in ((USERS, update.user_rows[0]), (ITEMS, update.item_rows[0])):
            at = self._arrays.of(rows)
            self._seen[side].rows[at] = self._fresh(graph, side, at)

    @torch.no_grad()
    def refresh(self, graph: DynamicGraph, batch: EventBatch, *, learned: bool) -> None:
        """Renew the vectors of touched items and, after an update, of the next items in rotation."""
        rows = torch.unique(batch.items)
        count = graph.sizes()[1] - 1
        if learned:
            turn = (torch.arange(min(max(self.config.draws, 256), count)) + self._cursor - 1) % count + 1
            self._cursor = int(turn[-1]) % count + 1
            at = self._arrays.of(turn)
            self._seen[ITEMS].rows[at] = self._fresh(graph, ITEMS, at)
            rows = torch.unique(torch.cat((rows, turn)))
        ts = torch.full_like(rows, int(batch.ts.max()))
        seq = torch.full_like(rows, int(batch.seq.max()) + 1)
        self._vectors.view[rows] = self._asked(graph, ITEMS, rows, ts, seq)

    @torch.no_grad()
    def described(self, graph: DynamicGraph, items: Tensor) -> None:
        """Take notice of new static vectors of ``items [n]``."""
        rows = self._arrays.of(items)
        self._seen[ITEMS].rows[rows] = self._fresh(graph, ITEMS, rows)

    def forget_user(self, user: int) -> None:
        """Return a user's learned static vector to its start and drop the user's examples."""
        self.user.static.forget(user)
        self._seen[USERS].view[user] = self.user.static[torch.tensor(user)]
        self._past.forget_user(user)

    # -- weights and state ------------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Fold anew at the next use: dense weights were written."""
        self._folded = None

    def weights(self) -> State:
        """All that was learned, and nothing of the graph: dense weights and static vectors."""
        dense = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        rows = {name: self._parts()[f"{name}_static"].state()["rows"] for name in ("user", "item")}
        return dense | {f"static.{name}": value for name, value in rows.items()}

    @torch.no_grad()
    def use_weights(self, graph: DynamicGraph, weights: State, version: int) -> None:
        """Take :meth:`weights` of another encoder of the same settings that has seen the same log, ahead or behind.

        Rows beyond the given ones keep their vectors. All cached vectors are renewed.
        """
        for name, value in self.named_parameters():
            value.copy_(weights[f"weight.{name}"])
        self.weights_changed()
        self.version = version
        for side, name in ((USERS, "user"), (ITEMS, "item")):
            module = self.sides[side]
            module.static.replace(weights[f"static.{name}"][: len(module.static)])
            rows = self._arrays.count_to(len(module.static))
            self._seen[side].rows[:] = self._fresh(graph, side, rows)
        rows = torch.arange(1, graph.sizes()[1], device=self._device)
        moment = graph.horizon.next()
        vectors = self._asked(graph, ITEMS, rows, torch.full_like(rows, moment.ts), torch.full_like(rows, moment.seq))
        self._vectors.view[1:] = vectors

    def state(self) -> State:
        """Weights, optimiser, static vectors, what is seen of nodes, item vectors, examples."""
        weights = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        counters = torch.tensor([self.version, self.skipped, self._cursor])
        seen = {"seen_users": self._seen[USERS].view, "seen_items": self._seen[ITEMS].view}
        return weights | gather(self._parts()) | seen | {"vectors": self._vectors.view, "counters": counters}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        self.weights_changed()
        scatter(self._parts(), state)
        self._seen[USERS].replace(state["seen_users"])
        self._seen[ITEMS].replace(state["seen_items"])
        self._vectors.replace(state["vectors"])
        self.version, self.skipped, self._cursor = state["counters"].tolist()

    def _parts(self) -> dict[str, NamedAdam | GrowableEmbedding | Past]:
        return {
            "adam": self.optimiser,
            "user_static": self.user.static,
            "item_static": self.item.static,
            "examples": self._past,
        }


def _stores(graph: DynamicGraph) -> tuple[NodeStore, NodeStore]:
    return graph.users, graph.items
