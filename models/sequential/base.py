"""Base models behind one interface: a user's history as a vector to be compared with item vectors."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.sequential.config import SequentialConfig
from models.sequential.encoder import Encoder, first_weights
from models.sequential.histories import Batch
from models.sequential.objectives import info_nce, softmax_loss

SLICE = 80
"""Sequences encoded together on a CPU. Most are short, so slices of like length save most of the padding."""


class Learned(NamedTuple):
    """What a base model makes of a batch while it learns."""

    states: Tensor
    """``[B, d]`` encodings of the histories."""
    regulariser: Tensor
    """``[]`` what its objective adds to the loss on the next item."""


class BaseModel(Protocol):
    """What graph encoders are fused with."""

    @property
    def items(self) -> Tensor:
        """``[1 + n, d]`` item vectors; row 0 is the null row."""

    def encode(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Histories ``[B, T]`` of ``lengths`` ``[B]`` -> ``[B, d]``."""

    def learned(self, batch: Batch) -> Learned:
        """Encodings of a training batch, with the regulariser."""

    def loss(self, batch: Batch) -> Tensor:
        """``[]`` the whole objective."""


class SequentialModel(nn.Module):
    """SASRec's encoder with DuoRec's objective; ``config.contrast = "off"`` is SASRec.

    >>> model = SequentialModel(5, SequentialConfig(dim=8)).eval()
    >>> model.encode(torch.tensor([[3, 1, 0]]), torch.tensor([2])).shape
    torch.Size([1, 8])
    """

    def __init__(self, n_items: int, config: SequentialConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.table = nn.Embedding(1 + n_items, config.dim)
            first_weights(self.table)
            self.encoder = Encoder(
                width=config.dim,
                layers=config.layers,
                heads=config.heads,
                inner=config.inner,
                dropout=config.dropout,
                longest=config.longest,
            )

    @property
    def items(self) -> Tensor:
        """``[1 + n, d]`` item vectors, the same that go into the encoder; row 0 is the null row."""
        return self.table.weight

    def encode(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Item rows ``[B, T]`` padded behind, T up to the longest, and lengths ``[B]`` from 1 -> ``[B, d]``."""
        order = torch.argsort(lengths)
        size = len(order) if lengths.is_cuda else SLICE
        slices = torch.split(order, size)
        rows = [sequences[part, : int(lengths[part[-1]])] for part in slices]
        # Looked up together: each look-up's gradient is as large as the whole table.
        found = self.table(torch.cat([part.flatten() for part in rows])).split([part.numel() for part in rows])
        states = [
            self.encoder(vectors.view(*part.shape, -1), lengths[which])
            for vectors, part, which in zip(found, rows, slices, strict=True)
        ]
        return torch.cat(states)[torch.argsort(order)]

    def learned(self, batch: Batch) -> Learned:
        """Encodings of the batch, and DuoRec's contrastive terms by ``config.contrast``."""
        views = [(batch.sequences, batch.lengths)]
        if self.config.drops_again:
            views.append(views[0])
        if self.config.meets_another:
            views.append((batch.others, batch.other_lengths))
        # All at once: sorted by length there is less padding in three batches than in each of them.
        longest = max(sequences.shape[1] for sequences, _ in views)
        padded = [nn.functional.pad(sequences, (0, longest - sequences.shape[1])) for sequences, _ in views]
        states, *more = self.encode(torch.cat(padded), torch.cat([lengths for _, lengths in views])).chunk(len(views))
        return Learned(states, self._contrast(states, more))

    def loss(self, batch: Batch) -> Tensor:
        """``[]`` softmax over all items, and the contrast."""
        learned = self.learned(batch)
        return softmax_loss(learned.states, self.items, batch.targets) + learned.regulariser

    def _contrast(self, states: Tensor, more: list[Tensor]) -> Tensor:
        config, total = self.config, states.new_zeros(())
        if config.contrast in ("un", "us"):
            total = total + config.dropout_weight * info_nce(states, more[0], config.temperature)
        if config.meets_another:
            asking = more[0] if config.contrast == "us_x" else states
            total = total + config.target_weight * info_nce(asking, more[-1], config.temperature)
        return total
