"""The peer: PyTorch Geometric's TGN, put together and called as its own example and TGB's do.

``TGNMemory`` (identity messages, last aggregator, GRU), ``LastNeighborLoader`` and ``TransformerConv`` with two heads,
memory = time = embedding = 100, ten neighbours, an MLP on pairs, binary cross-entropy with one negative. Times are
seconds, as in that example. Two things are ours, and both are in the peer's favour:

- the aggregator, where torch-scatter (a compiled extra) is not installed: see :class:`LastMessage`;
- the loop does not read the loss back at every batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric.nn import TGNMemory, TransformerConv
from torch_geometric.nn.models.tgn import IdentityMessage, LastAggregator, LastNeighborLoader

from evaluation.link_prediction import Scores, Split, rank, report
from evaluation.readers.edges import EdgeLog, Ints

WIDTH = 100
"""Of memory, time encoding and embedding."""
NEIGHBOURS = 10
QUERIES = 8
"""So many are scored against all items at a time."""
WITH_SCATTER = bool(torch_geometric.typing.WITH_TORCH_SCATTER)


def notes() -> str:
    """What a reader of the figures must know about this installation."""
    scatter = (
        "with torch-scatter"
        if WITH_SCATTER
        else "without torch-scatter (it compiles for minutes; PyG falls back on torch)"
    )
    return f"torch-geometric {torch_geometric.__version__} {scatter}"


class LastMessage(torch.nn.Module):
    """The latest message of every node, zeros for nodes without one.

    ``LastAggregator`` does this with torch-scatter only: its fallback marks a node without messages by an index that
    is a real message's whenever there are more messages than nodes, so that newcomers get a stranger's message. The
    operations are the same, only the mark is right.
    """

    def forward(self, msg: Tensor, index: Tensor, t: Tensor, dim_size: int) -> Tensor:
        """``[dim_size, D]`` of ``msg [M, D]`` to nodes ``index [M]`` at ``t [M]``."""
        newest = t.new_empty(dim_size).scatter_reduce_(0, index, t, reduce="amax", include_self=False)
        at = (t == newest[index]).nonzero().view(-1)
        place = index.new_full((dim_size,), msg.size(0))
        place[index[at]] = at
        there = place < msg.size(0)
        out = msg.new_zeros((dim_size, msg.size(-1)))
        out[there] = msg[place[there]]
        return out


class Embedding(torch.nn.Module):
    """Graph attention over the last neighbours; the time feature is that between neighbour and edge, as in PyG."""

    def __init__(self, time_encoder: torch.nn.Module, features: int) -> None:
        super().__init__()
        self.time_encoder = time_encoder
        self.conv = TransformerConv(WIDTH, WIDTH // 2, heads=2, dropout=0.1, edge_dim=features + WIDTH)

    def forward(self, x: Tensor, last_update: Tensor, edges: Tensor, t: Tensor, msg: Tensor) -> Tensor:
        """``[n, 100]`` from memory ``x [n, 100]`` along ``edges [2, e]`` with times ``t [e]`` and ``msg [e, F]``."""
        elapsed = (last_update[edges[0]] - t).to(x.dtype)
        out: Tensor = self.conv(x, edges, torch.cat([self.time_encoder(elapsed), msg], dim=-1))
        return out


class Pairs(torch.nn.Module):
    """``[n, m]`` logits of all pairs, or ``[n, 1]`` of pairs side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.source = torch.nn.Linear(WIDTH, WIDTH)
        self.destination = torch.nn.Linear(WIDTH, WIDTH)
        self.last = torch.nn.Linear(WIDTH, 1)

    def forward(self, z_source: Tensor, z_destination: Tensor) -> Tensor:
        """``[…, 1]`` from vectors ``[…, 100]`` that broadcast."""
        out: Tensor = self.last((self.source(z_source) + self.destination(z_destination)).relu())
        return out


@dataclass(frozen=True)
class Edges:
    """A batch as PyG takes it, on the device."""

    source: Tensor
    destination: Tensor
    negative: Tensor
    t: Tensor
    msg: Tensor


class PygTGN:
    """One model with its state; users are nodes from 0, items follow after them.

    ``capacity`` events are kept with their features for as long as the model lives (PyG looks neighbours' edges up by
    their place in the data). A log without features gets one column of zeros, because the message store cannot be
    empty.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        features: int,
        capacity: int,
        *,
        device: str = "cpu",
        seed: int = 0,
        lr: float = 1e-3,
    ) -> None:
        torch.manual_seed(seed)
        self.n_users, self.n_items = n_users, n_items
        self.device = torch.device(device)
        self.features = features
        nodes, width = n_users + n_items, max(features, 1)
        self.memory = TGNMemory(
            nodes,
            width,
            WIDTH,
            WIDTH,
            message_module=IdentityMessage(width, WIDTH, WIDTH),
            aggregator_module=LastAggregator() if WITH_SCATTER else LastMessage(),
        ).to(self.device)
        self.embedding = Embedding(self.memory.time_enc, width).to(self.device)
        self.pairs = Pairs().to(self.device)
        self.modules = torch.nn.ModuleList([self.memory, self.embedding, self.pairs])
        self.optimiser = torch.optim.Adam(self.modules.parameters(), lr=lr)
        self.loader = LastNeighborLoader(nodes, size=NEIGHBOURS, device=self.device)
        self.t = torch.zeros(capacity, dtype=torch.int64, device=self.device)
        self.msg = torch.zeros(capacity, width, device=self.device)
        self._local = torch.empty(nodes, dtype=torch.int64, device=self.device)

    def prepare(self, batch: EdgeLog, negatives: Ints) -> Edges:
        """Tensors of a batch; also its lines of the data set that neighbours are looked up in."""
        place = slice(int(batch.seq[0]), int(batch.seq[-1]) + 1)
        if place.stop > len(self.t):
            raise ValueError(f"event {place.stop - 1} is beyond the {len(self.t)} events there is room for")
        self.t[place] = torch.from_numpy(batch.ts // 1000).to(self.device)
        if self.features:
            self.msg[place] = torch.from_numpy(batch.features).to(self.device)
        return Edges(
            torch.from_numpy(batch.users).to(self.device),
            torch.from_numpy(batch.items).to(self.device) + self.n_users,
            torch.from_numpy(negatives).to(self.device) + self.n_users,
            self.t[place],
            self.msg[place],
        )

    def _parts(self) -> tuple[torch.nn.ModuleList, TGNMemory, Embedding, Pairs, LastNeighborLoader]:
        return self.modules, self.memory, self.embedding, self.pairs, self.loader

    def reset(self) -> None:
        """Forget all events; weights stay."""
        self.memory.reset_state()
        self.loader.reset_state()

    @torch.no_grad()
    def train_mode(self, on: bool) -> None:
        """In training waiting messages are applied on the way, in evaluation right after they come."""
        self.modules.train(on)

    def _commit(self, edges: Edges) -> None:
        self.memory.update_state(edges.source, edges.destination, edges.t, edges.msg)
        self.loader.insert(edges.source, edges.destination)

    @torch.no_grad()
    def warm(self, edges: Edges) -> None:
        """Take in a batch without a gradient, in either mode."""
        self._commit(edges)

    @torch.no_grad()
    def update_embed(self, edges: Edges) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors ``[B, 100]`` of sources, destinations and negatives before the batch; then the batch."""
        nodes = torch.cat([edges.source, edges.destination, edges.negative])
        z_source, z_destination, z_negative = self._embed(nodes).split(len(edges.source))
        self._commit(edges)
        return z_source, z_destination, z_negative

    def train(self, edges: Edges) -> Tensor:
        """One learning step and the update; the loss stays on the device."""
        self.optimiser.zero_grad()
        nodes = torch.cat([edges.source, edges.destination, edges.negative])
        z_source, z_destination, z_negative = self._embed(nodes).split(len(edges.source))
        positive, negative = self.pairs(z_source, z_destination), self.pairs(z_source, z_negative)
        cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
        loss = cross_entropy(positive, torch.ones_like(positive)) + cross_entropy(negative, torch.zeros_like(negative))
        self._commit(edges)
        loss.backward()
        self.optimiser.step()
        self.memory.detach()
        return loss.detach()

    def _embed(self, nodes: Tensor) -> Tensor:
        """``[n, 100]`` as of now, of ``nodes [n]`` that may repeat."""
        around, edges, places = self.loader(nodes.unique())
        self._local[around] = torch.arange(len(around), device=self.device)
        x, last_update = self.memory(around)
        z: Tensor = self.embedding(x, last_update, edges, self.t[places], self.msg[places])
        return z[self._local[nodes]]

    # What follows is the protocol of evaluation.link_prediction.

    @torch.no_grad()
    def scores(self, users: Ints, ts: Ints, seq: Ints) -> Scores:
        """``[n, n_items]`` logits; PyG's do not depend on when they are asked for."""
        asked = torch.from_numpy(users).to(self.device)
        items = torch.arange(self.n_users, self.n_users + self.n_items, device=self.device)
        z_users, z_items = self._embed(torch.cat([asked, items])).split([len(asked), len(items)])
        # A few queries at a time: all pairs of a batch at once are 80 MB per operation and leave every cache.
        logits = [self.pairs(few[:, None], z_items[None]).squeeze(-1) for few in z_users.split(QUERIES)]
        return np.asarray(torch.cat(logits).cpu().numpy())

    @torch.no_grad()
    def update(self, batch: EdgeLog) -> None:
        """Take in edges that were ranked."""
        self._commit(self.prepare(batch, batch.items))

    def fit(
        self,
        log: EdgeLog,
        split: Split,
        *,
        epochs: int,
        batch: int,
        patience: int | None = None,
        seed: int = 0,
        tick: Callable[[int], None] | None = None,
    ) -> int:
        """Epochs over the train events, each from an empty memory; returns the number of the epoch that is kept.

        With ``patience`` the epoch with the best validation MRR is kept, and after so many worse ones training ends;
        without, the last one is. Afterwards the model stands at the end of the train events, in evaluation.
        """
        random = np.random.default_rng(seed)
        best, best_mrr, kept = None, -1.0, epochs
        for epoch in range(1, epochs + 1):
            self.reset()
            self.train_mode(True)
            for low in range(0, split.train, batch):
                part = log.part(low, min(low + batch, split.train))
                self.train(self.prepare(part, random.integers(log.n_items, size=len(part))))
                if tick is not None:
                    tick(len(part))
            self.train_mode(False)
            if patience is None:
                continue
            now = copy.deepcopy(self._parts())
            ranking = rank(self, log, split.train, split.validation, batch)
            mrr = report(ranking, log, split.train, batch).mrr
            if mrr > best_mrr:
                best, best_mrr, kept = now, mrr, epoch
            elif epoch - kept >= patience:
                break
        if best is not None:
            self.modules, self.memory, self.embedding, self.pairs, self.loader = best
        return kept
