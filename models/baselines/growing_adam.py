"""torch's Adam for networks whose embedding tables gain rows while they learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GrowingAdam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015); an embedding may be given more rows, and keeps the moments of those it has."""

    def make_room(self, embedding: nn.Embedding, rows: int, std: float, generator: torch.Generator) -> bool:
        """Give ``embedding``, of an optimised module, at least ``rows`` rows; whether there were too few.

        Its size doubles, so that this is rare. New values are drawn with standard deviation ``std`` and hold still,
        because rows that nobody reads have no gradient.
        """
        old = embedding.weight
        if rows <= len(old):
            return False
        new = std * torch.randn(max(rows, 2 * len(old)) - len(old), embedding.embedding_dim, generator=generator)
        embedding.weight = nn.Parameter(torch.cat([old.detach(), new]))
        embedding.num_embeddings = len(embedding.weight)
        for group in self.param_groups:
            group["params"] = [embedding.weight if parameter is old else parameter for parameter in group["params"]]
        if old in self.state:
            moments = self.state.pop(old)
            self.state[embedding.weight] = {
                name: _padded(value, len(new)) if value.shape == old.shape else value for name, value in moments.items()
            }
        return True


def _padded(rows: Tensor, n: int) -> Tensor:
    return torch.cat([rows, rows.new_zeros(n, *rows.shape[1:])])
