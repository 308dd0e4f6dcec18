"""SASRec on a stream: trained on at stated intervals, asked with the user's sequence of the moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.baselines.contrast import sampled_softmax
from models.baselines.growing_adam import GrowingAdam
from models.baselines.popularity import Popularity
from models.baselines.recommender import Basket, Setting
from models.baselines.sasrec_network import SASRecNetwork
from models.baselines.sequences import Sequences, Windows

_STD = 0.02


class SASRec:
    """Kang & McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, with a softmax over sampled items.

    Whenever the log has grown by the share ``interval`` since the last time (first at ``first`` events), the network
    is trained on from its last weights: ``epochs`` passes over the latest ``replay`` events, cut into sequences of at
    most ``length``, in batches of about ``batch`` events with Adam at ``lr``. So an event is trained on
    about ``epochs / interval`` times while the log doubles past it, and the cost grows with the log's length alone.
    Between two trainings the weights stand still, but the sequence asked with is always the user's latest.
    Before the first training, items stand in order of popularity.

    Otherwise as in the paper: ``width``, ``layers``, ``heads``, ``dropout`` (on what goes into and what is added by
    each block; not on attention weights), item embeddings shared by input and output; ``negatives`` items are drawn
    evenly per batch. The defaults are the best of 13 trials on events 40 to 50 % of ml-100k and bundled retail. Raises
    ValueError for settings with which nothing would be learned.
    """

    name = "sasrec"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {
        "lr": (5e-4, 1e-3, 2e-3),
        "dropout": (0.1, 0.2, 0.4),
        "batch": (250, 500, 1_000),
        "interval": (0.05, 0.1),
    }

    def __init__(
        self,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 1,
        length: int = 50,
        dropout: float = 0.2,
        lr: float = 1e-3,
        batch: int = 250,
        negatives: int = 256,
        first: int = 1_000,
        interval: float = 0.05,
        replay: int = 50_000,
        epochs: int = 1,
        seed: int = 0,
    ) -> None:
        counts = {"batch": batch, "negatives": negatives, "first": first, "replay": replay}
        for setting, count in {**counts, "epochs": epochs}.items():
            if count < 1:
                raise ValueError(f"{setting} = {count} leaves nothing to learn; use 1 or more")
        if length < 2:
            raise ValueError(f"length = {length} holds the start of a sequence and no item; use 2 or more")
        if not interval > 0:
            raise ValueError(f"interval = {interval} would train without end; use a share above 0")
        self.settings: dict[str, Setting] = {
            "width": width,
            "layers": layers,
            "heads": heads,
            "length": length,
            "dropout": dropout,
            "lr": lr,
            **counts,
            "interval": interval,
            "epochs": epochs,
            "seed": seed,
        }
        self._length, self._batch, self._negatives = length, batch, negatives
        self._interval, self._replay, self._epochs = interval, replay, epochs
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        # torch's own layers draw their first weights and their dropout from the one global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = SASRecNetwork(width=width, layers=layers, heads=heads, length=length, dropout=dropout)
        for embedding in (self.network.items, self.network.positions):
            nn.init.normal_(embedding.weight, std=_STD, generator=self._generator)
        self.network.eval()
        self._adam = GrowingAdam(self.network.parameters(), lr=lr, betas=(0.9, 0.98), fused=True)
        self._sequences = Sequences()
        self._popularity = Popularity()
        self._items = 1
        self._next = first
        self.updates = 0
        """Steps of the optimiser so far."""

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """Products of the items with the network's answer to the user's latest ``length`` - 1 items."""
        if not self.updates:
            return self._popularity.scores(user, ts)
        taken = self._sequences.latest(user, self._length - 1)
        with torch.inference_mode():
            answer = self.network(torch.tensor([[0, *taken]]))[0, -1]
            scores: NDArray[np.float64] = (self.network.items.weight[: self._items] @ answer).double().numpy()
        return scores

    def learn(self, basket: Basket) -> None:
        """Append what the user took, and train if it is time. Refusals are left out."""
        self._grow(basket)
        self._popularity.learn(basket)
        self._sequences.learn(basket.user, basket.items[basket.sign > 0].tolist())
        if len(self._sequences) >= self._next:
            self.train(self._epochs, self._replay)
            self._next = int(len(self._sequences) * (1 + self._interval)) + 1

    def follow(self, basket: Basket) -> None:
        """Append what the user took to the sequence asked with; no training will see it."""
        self._grow(basket)
        self._popularity.follow(basket)
        self._sequences.follow(basket.user, basket.items[basket.sign > 0].tolist())

    def train(self, epochs: int, events: int) -> None:
        """Train on for ``epochs`` passes over the log's last ``events`` events."""
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self._rng.integers(2**62)))
            for _ in range(epochs):
                windows = self._sequences.windows(self._length, events, self._rng)
                for rows in self._batches(windows):
                    self._update(*(torch.from_numpy(part) for part in rows))
        self.network.eval()

    def _batches(self, windows: Windows) -> Iterator[Windows]:
        """Rows of about equal length together, about ``batch`` targets at a time, in random order."""
        lengths = np.count_nonzero(windows.targets, axis=1)
        order = np.lexsort((self._rng.random(len(lengths)), lengths))
        cuts = np.flatnonzero(np.diff(np.cumsum(lengths[order]) // self._batch)) + 1
        batches = np.split(order, cuts)
        for at in self._rng.permutation(len(batches)).tolist():
            rows = batches[at]
            yield Windows(*(part[rows, : lengths[rows].max()] for part in windows))

    def _grow(self, basket: Basket) -> None:
        self._items = max(self._items, int(basket.items.max()) + 1)
        self._adam.make_room(self.network.items, self._items, _STD, self._generator)

    def _update(self, inputs: Tensor, queries: Tensor, targets: Tensor) -> None:
        hidden = self.network(inputs)
        states = hidden.gather(1, queries.unsqueeze(2).expand_as(hidden))
        there = targets > 0
        drawn = torch.randint(1, self._items, (self._negatives,), generator=self._generator)
        loss = sampled_softmax(states[there], targets[there], drawn, self.network.items.weight)
        self._adam.zero_grad()
        torch.autograd.backward(loss)
        self._adam.step()
        self.updates += 1
