"""What a temporal graph network must compute, by the letter and without any haste.

Rossi et al. 2020 (TGN), Kumar et al. 2019 (JODIE's time projection), Trivedi et al. 2019 (DyRep's message) and Xu et
al. 2020 (TGAT), in the order of operations that the engine promises: what waits becomes memory, the batch's messages
see the memory before the batch, edges enter last. Nodes are Python objects, rings are lists that keep every edge, and
each vector is computed on its own in float64, so that a difference of 1e-5 is a difference of meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from reference.weights import Cell, Layer, SideWeights, Vector

DAY_MS = 86_400_000
KINDS = 10
OTHER_SIDE = {"user": "item", "item": "user"}


class Event(NamedTuple):
    """One interaction with its place in the log."""

    seq: int
    user: str
    item: str
    kind: int
    ts: int
    value: float = 0.0
    features: tuple[float, ...] = ()


class Edge(NamedTuple):
    """One entry of a ring: the row on the other side, when, and what."""

    other: int
    ts: int
    seq: int
    vector: Vector


@dataclass
class Node:
    """A user or an item."""

    memory: Vector
    applied: Vector
    """Memory with the waiting message applied, under the weights of the commit that stored the message."""
    message: Vector | None = None
    """What waits: ``[other | edge | phi(elapsed)]``."""
    last_ts: int = -1
    events: int = 0
    edges: list[Edge | None] = field(default_factory=list)
    """Every edge there ever was, in the order of arrival; None where its other end was erased."""


@dataclass(frozen=True)
class Rules:
    """The settings that change what is computed."""

    dim: int
    time_dim: int
    heads: int
    neighbours: int
    memory: str
    """``gru``, ``rnn`` or ``none``"""
    aggregator: str
    """``last`` or ``mean``"""
    message: str
    """``memory`` (of the other) or ``embedding`` (DyRep)"""
    embedding: str
    """``attention``, ``identity`` or ``time``"""
    cache: bool = True


Learned = Callable[[], dict[str, SideWeights]]


class Reference:
    """The graph and its encoder. ``learned`` reads the encoder's present weights; they are fixed between reads.

    A step is :meth:`begin`, the encoder's own step, :meth:`finish`: what waits is applied and messages are formed under
    the weights before learning; what they do to memory is under those after it.
    """

    def __init__(self, rules: Rules, learned: Learned, texts: Callable[[str, int], Vector] | None = None) -> None:
        self.rules = rules
        self.learned = learned
        self.texts = texts
        self.weights = learned()
        self.names: dict[str, dict[str, int]] = {"user": {}, "item": {}}
        self.nodes: dict[str, list[Node]] = {side: [self.blank()] for side in ("user", "item")}
        periods = 10 ** np.linspace(3, math.log10(4 * 365.25 * DAY_MS), rules.time_dim)
        self.omega = 2 * math.pi / periods
        self.raw: dict[tuple[str, int], list[Vector]] = {}

    def blank(self) -> Node:
        return Node(np.zeros(self.rules.dim), np.zeros(self.rules.dim))

    # -- the step ---------------------------------------------------------------------------------------------

    def begin(self, batch: Sequence[Event]) -> None:
        """Newcomers get the next row; of all touched nodes, what waits becomes memory."""
        for event in ordered(batch):
            for side, name in (("user", event.user), ("item", event.item)):
                if name not in self.names[side]:
                    self.names[side][name] = len(self.nodes[side])
                    self.nodes[side].append(self.blank())
        self.refresh()
        for side in ("user", "item"):
            touched = {self.row(side, event) for event in batch}
            memories = {row: self.visible_memory(side, row) for row in touched}
            for row in touched:
                node = self.nodes[side][row]
                node.memory = node.applied = memories[row]
                node.message = None
        self.raw = self.messages(ordered(batch))

    def messages(self, events: Sequence[Event]) -> dict[tuple[str, int], list[Vector]]:
        """Of each touched node, the messages of its events: what the other end was, all before the batch."""
        first = min(event.seq for event in events)
        raw: dict[tuple[str, int], list[Vector]] = {}
        for event in events:
            for side in ("user", "item"):
                far, row = OTHER_SIDE[side], self.row(side, event)
                last = self.nodes[side][row].last_ts
                elapsed = max(event.ts - last, 0) if last >= 0 else 0
                if self.rules.message == "embedding":
                    other = self.attend(far, self.row(far, event), event.ts, first)
                else:
                    other = self.nodes[far][self.row(far, event)].memory
                message = np.concatenate((other, edge_vector(event), self.phi(elapsed)))
                raw.setdefault((side, row), []).append(message)
        return raw

    def finish(self, batch: Sequence[Event]) -> None:
        """Store the messages, apply them virtually, then let the edges in."""
        self.refresh()
        for (side, row), messages in self.raw.items():
            node = self.nodes[side][row]
            if self.rules.memory != "none":
                last = self.rules.aggregator == "last"
                node.message = messages[-1] if last else sum(messages, np.zeros_like(messages[0])) / len(messages)
                node.applied = self.updated(side, node)
        for event in ordered(batch):
            for side in ("user", "item"):
                node = self.nodes[side][self.row(side, event)]
                other = self.row(OTHER_SIDE[side], event)
                node.edges.append(Edge(other, event.ts, event.seq, edge_vector(event)))
                node.last_ts = max(node.last_ts, event.ts)
                node.events += 1

    def erase(self, user: str) -> None:
        """Forget one user: the row is never used again, and its places in the rings of items stay empty."""
        row = self.names["user"].pop(user)
        self.nodes["user"][row] = self.blank()
        for item in self.nodes["item"]:
            kept = item.edges[-self.rules.neighbours :]
            if any(edge is not None and edge.other == row for edge in kept):
                # What waits may be the user's own message: it counts as applied, and is forgotten.
                item.memory, item.message = item.applied, None
            item.edges = [None if edge is not None and edge.other == row else edge for edge in item.edges]
        self.refresh()

    def refresh(self) -> None:
        """Read the weights again."""
        self.weights = self.learned()

    def row(self, side: str, event: Event) -> int:
        return self.names[side][event.user if side == "user" else event.item]

    # -- memory -----------------------------------------------------------------------------------------------

    def updated(self, side: str, node: Node) -> Vector:
        """Memory after the waiting message (TGN eq. 3), by hand."""
        cell = self.weights[side].cell
        assert cell is not None
        assert node.message is not None
        return recurrent(self.rules.memory, cell, np.concatenate((node.memory, node.message)), node.memory)

    def visible_memory(self, side: str, row: int) -> Vector:
        """Memory as others see it, the waiting message applied."""
        node = self.nodes[side][row]
        if self.rules.cache or node.message is None:
            return node.applied
        return self.updated(side, node)

    # -- embeddings -------------------------------------------------------------------------------------------

    def visible(self, side: str, row: int) -> Vector:
        """What a node brings to its own embedding and to those of others."""
        weights = self.weights[side]
        h: Vector = self.visible_memory(side, row) + weights.static[row]
        if weights.text is not None and self.texts is not None:
            h = h + weights.text @ self.texts(side, row)
        return h

    def embed(self, side: str, row: int, ts: int, seq: int) -> Vector:
        """The embedding of one node at one moment."""
        if self.rules.embedding == "attention":
            return self.attend(side, row, ts, seq)
        h = self.visible(side, row)
        if self.rules.embedding == "identity":
            return h
        drift, last = self.weights[side].drift, self.nodes[side][row].last_ts
        assert drift is not None
        away = max(ts - last, 0) if last >= 0 else 0
        return (1 + drift * math.log1p(away / DAY_MS)) * h

    def attend(self, side: str, row: int, ts: int, seq: int, depth: int | None = None) -> Vector:
        """Attention of ``depth`` layers (all there are by default) over the edges strictly before ``(ts, seq)``.

        As in the code of TGN's authors, neighbours bring what the layer below made of them at this same moment, the
        asking node itself what it is without any layer.
        """
        if depth is None:
            depth = len(self.weights[side].layers)
        h = self.visible(side, row)
        if depth == 0:
            return h
        layer = self.weights[side].layers[depth - 1]
        kept = self.nodes[side][row].edges[-self.rules.neighbours :]
        near = [edge for edge in kept if edge is not None and (edge.ts, edge.seq) < (ts, seq)]
        inputs = [
            np.concatenate(
                (self.attend(OTHER_SIDE[side], edge.other, ts, seq, depth - 1), edge.vector, self.phi(ts - edge.ts))
            )
            for edge in near
        ]
        return attention(layer, self.rules.heads, h, inputs)

    def phi(self, elapsed: int) -> Vector:
        return np.cos(max(elapsed, 0) * self.omega)


def ordered(batch: Sequence[Event]) -> list[Event]:
    """The batch in the order that counts."""
    return sorted(batch, key=lambda event: (event.ts, event.seq))


def edge_vector(event: Event) -> Vector:
    """``[one-hot of the type | signed log of the value | features]``."""
    kind = np.zeros(KINDS)
    kind[event.kind] = 1
    value = math.copysign(math.log1p(abs(event.value)), event.value)
    return np.concatenate((kind, [value], event.features))


def recurrent(kind: str, cell: Cell, inner: Vector, hidden: Vector) -> Vector:
    """A GRU (Cho et al. 2014, torch's variant: the reset gate acts after the hidden map) or a tanh cell."""
    a, b = cell.inner @ inner + cell.inner_bias, cell.hidden @ hidden + cell.hidden_bias
    if kind == "rnn":
        return np.tanh(a + b)
    d = len(hidden)
    reset, update = sigmoid(a[:d] + b[:d]), sigmoid(a[d : 2 * d] + b[d : 2 * d])
    new = np.tanh(a[2 * d :] + reset * b[2 * d :])
    return (1 - update) * new + update * hidden


def sigmoid(x: Vector) -> Vector:
    return (1 + np.tanh(x / 2)) / 2


def attention(layer: Layer, heads: int, h: Vector, inputs: Sequence[Vector]) -> Vector:
    """Multi-head attention of one node over its usable slots, then the two-layer map; a residual around either."""
    query, d = layer.query @ h + layer.query_bias, len(h)
    keys, values = [layer.key @ x for x in inputs], [layer.value @ x for x in inputs]
    attended = np.zeros(d)
    for head in range(heads):
        part = slice(head * d // heads, (head + 1) * d // heads)
        logits = [float(query[part] @ key[part]) / math.sqrt(d / heads) for key in keys]
        weights = [math.exp(logit - max(logits)) for logit in logits]
        for weight, value in zip(weights, values, strict=True):
            attended[part] += weight / sum(weights) * value[part]
    y = h + layer.mix @ attended
    return y + layer.second @ np.maximum(layer.first @ y + layer.first_bias, 0) + layer.second_bias
