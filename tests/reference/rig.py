"""One encoder and its slow reference on the same stream, compared after every step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dyngraph.advance import advance
from dyngraph.arrays import NUMPY, Arrays
from dyngraph.batch import Columns, EventBatch
from dyngraph.events import EventType, Interaction
from models.tgn import TGN, TGNConfig
from models.tgn.learning import _embedded
from reference.streams import Erase, Stream, moments
from reference.tgn import Event, Reference, Rules
from reference.weights import Vector, read

CLOSE = 1e-5
FAR = 2**62


class Rig:
    """``encoder`` over ``graph``, and ``reference``. All weights start away from zero, so that no term can hide."""

    def __init__(self, config: TGNConfig, arrays: Arrays = NUMPY, device: str = "cpu") -> None:
        self.encoder, self.device = TGN(config, arrays, device), device
        generator = torch.Generator().manual_seed(config.seed + 3)
        with torch.no_grad():
            for weight in self.encoder.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
        self.encoder.weights_changed()
        self.config, self.graph = config, self.encoder.graph()
        self.erased = set[tuple[str, int]]()
        self.reference = Reference(rules(config), lambda: read(self.encoder), self.text)

    def text(self, side: str, row: int) -> Vector:
        """A node's given static vector: anything, as long as it is always the same; nothing for nobody."""
        width = self.config.user_dim if side == "user" else self.config.item_dim
        known = row > 0 and (side, row) not in self.erased
        return np.cos(np.arange(1, width + 1) * row).astype(np.float32).astype(np.float64) * known

    def run(self, stream: Stream, *, learn: bool = False) -> None:
        """Take the whole stream; compare after every part of it."""
        asked: list[tuple[int, int]] = []
        for part in stream:
            if isinstance(part, Erase):
                self.erase(part.user)
            else:
                self.step(part, learn=learn)
                asked = moments(part)
            self.compare(asked)
        if not self.encoder.version:
            self.compare_learning(asked)

    def step(self, batch: Sequence[Event], *, learn: bool = False) -> float | None:
        """One batch through both; the loss, if something was learned."""
        before = self.graph.sizes()
        columns = Columns([(event.seq, interaction(event)) for event in batch], self.config.edge_dim)
        admitted = placed(self.graph.admit(columns), self.device)
        self.encoder.grow(*self.graph.sizes())
        self.describe(before)
        self.reference.begin(batch)
        loss = advance(self.graph, self.encoder, admitted, learn=learn, seed=batch[0].seq)
        self.reference.finish(batch)
        return loss

    def describe(self, before: tuple[int, int]) -> None:
        """Hand the newcomers' given vectors to the graph."""
        stores = (("user", self.graph.users), ("item", self.graph.items))
        described = {side: torch.zeros(0, dtype=torch.int64, device=self.device) for side, _ in stores}
        for (side, store), start, stop in zip(stores, before, self.graph.sizes(), strict=True):
            if store.vectors.shape[1] and stop > start:
                vectors = np.stack([self.text(side, row) for row in range(start, stop)])
                described[side] = torch.arange(start, stop, device=self.device)
                store.describe(described[side], torch.from_numpy(vectors).float())
        self.encoder.described(self.graph, described["user"], described["item"])

    def erase(self, user: str) -> None:
        """Forget one user on both sides."""
        row = int(self.graph.user_ids.find([user])[0])
        self.graph.forget_user(row)
        self.encoder.forget_user(row)
        self.reference.erase(user)
        self.erased.add(("user", row))

    def compare(self, asked: Sequence[tuple[int, int]]) -> None:
        """Memory, messages, clocks, rings and embeddings of all nodes agree within 1e-5, the null node's too."""
        for side in ("user", "item"):
            self.compare_store(side)
            nodes = self.reference.nodes[side]
            rows = torch.arange(len(nodes), device=self.device)
            embed = self.encoder.embed if side == "user" else self.encoder.embed_items
            for ts, seq in asked:
                given = embed(self.graph, rows, torch.full_like(rows, ts), torch.full_like(rows, seq))
                expected = np.stack([self.reference.embed(side, row, ts, seq) for row in range(len(nodes))])
                close(given, expected, f"{side} embeddings at {(ts, seq)}")

    def compare_learning(self, asked: Sequence[tuple[int, int]]) -> None:
        """What an update would learn from is what is served, as long as weights never moved: the gradient path applies
        what waits under the weights of now."""
        sides, texts = (self.encoder.user, self.encoder.item), (self.graph.users.vectors, self.graph.items.vectors)
        for number, side in enumerate(("user", "item")):
            own, far = sides[number], sides[1 - number]
            nodes = self.reference.nodes[side]
            rows = torch.arange(len(nodes), device=self.device)
            text = self.graph.arrays.tensor(texts[number])
            for ts, seq in asked:
                at = torch.full_like(rows, ts), torch.full_like(rows, seq)
                inputs = self.encoder._view.capture(self.graph, number, rows, *at)
                given = _embedded(own, far, inputs, own.static[rows], text)
                expected = np.stack([self.reference.embed(side, row, ts, seq) for row in range(len(nodes))])
                close(given, expected, f"{side} embeddings on the gradient path at {(ts, seq)}")

    def compare_store(self, side: str) -> None:
        """What is kept of one side."""
        store = self.graph.users if side == "user" else self.graph.items
        nodes, tensor = self.reference.nodes[side], self.graph.arrays.tensor
        rows = torch.arange(len(nodes), device=self.device)
        assert len(store) == len(nodes)
        assert store.last_ts.tolist() == [node.last_ts for node in nodes]
        assert store.events.tolist() == [node.events for node in nodes]
        if self.config.memory != "none":
            waiting = store.waiting(self.graph.arrays.of(rows))
            pending = tensor(waiting.pending).tolist()
            assert pending == [node.message is not None for node in nodes]
            close(tensor(waiting.own), np.stack([node.memory for node in nodes]), f"{side} memory")
            close(tensor(store.applied), np.stack([node.applied for node in nodes]), f"{side} applied memory")
            for node, message in zip(nodes, tensor(waiting.message), strict=True):
                if node.message is not None:
                    close(message, node.message, f"{side} message")
        self.compare_rings(side)

    def compare_rings(self, side: str) -> None:
        """Each ring holds the last K edges of the node's whole list."""
        store = self.graph.users if side == "user" else self.graph.items
        nodes = self.reference.nodes[side]
        rows = torch.arange(len(nodes), device=self.device)
        far = torch.full_like(rows, FAR)
        near = store.neighbours.before(rows, far, far)
        columns = [part.tolist() for part in (near.nodes, near.ts, near.seq, near.mask)]
        for node, *slots in zip(nodes, *columns, strict=True):
            kept = [edge for edge in node.edges[-self.config.neighbours :] if edge is not None]
            found = sorted(slot[:3] for slot in zip(*slots, strict=True) if slot[3])
            assert found == sorted((edge.other, edge.ts, edge.seq) for edge in kept)


def close(given: Tensor, expected: Vector, what: str) -> None:
    """Fail, naming the largest difference, unless all entries agree within 1e-5 (of 1, or of a larger entry)."""
    gap = np.abs(given.detach().cpu().double().numpy() - expected) / np.maximum(np.abs(expected), 1)
    assert np.isfinite(gap).all(), f"{what} are not finite"
    assert gap.max(initial=0) < CLOSE, f"{what} differ by {gap.max():.2e} at {np.argwhere(gap >= CLOSE)[:5].tolist()}"


def placed(batch: EventBatch, device: str) -> EventBatch:
    """The batch on a device."""
    columns = (batch.users, batch.items, batch.types, batch.values, batch.ts, batch.seq)
    users, items, types, values, ts, seq = (column.to(device) for column in columns)
    features = None if batch.features is None else batch.features.to(device)
    return EventBatch(users, items, types, values, ts, seq, features)


def interaction(event: Event) -> Interaction:
    """The event as the engine takes it."""
    kind = EventType(event.kind)
    return Interaction(
        f"event-{event.seq}", event.user, event.item, kind, event.ts, event.value, event.features or None
    )


def rules(config: TGNConfig) -> Rules:
    """The settings that change what is computed, from the encoder's own."""
    return Rules(
        dim=config.dim,
        time_dim=config.time_dim,
        heads=config.heads,
        neighbours=config.neighbours,
        memory=config.memory,
        aggregator=config.aggregator,
        message=config.message_other,
        embedding=config.embedding,
        cache=config.cache,
    )
