"""What models that learn on line share: a network whose updates are counted and kept, and rows renewed in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dyngraph.state import State, gather, scatter
from models.optimiser import NamedAdam


class Learned:
    """The weights of a network under Adam; gradients are computed first, and written only when nothing can fail."""

    def __init__(self, network: nn.Module, lr: float, clip: float) -> None:
        self._parameters = dict(network.named_parameters())
        self._adam, self._clip = NamedAdam(self._parameters, lr), clip
        self.updates = 0
        """Updates written."""
        self.skipped = 0
        """Updates refused because they were not finite."""

    def gradients(self, loss: Tensor, more: Sequence[Tensor] = ()) -> tuple[dict[str, Tensor], list[Tensor | None]]:
        """Of the scalar ``loss``: by name for the weights that it reaches, and for each tensor of ``more``."""
        found = torch.autograd.grad(loss, [*self._parameters.values(), *more], allow_unused=True)
        by_name = {name: g for name, g in zip(self._parameters, found, strict=False) if g is not None}
        return by_name, list(found[len(self._parameters) :])

    def step(self, gradients: Mapping[str, Tensor], beside: Sequence[Tensor | None] = ()) -> bool:
        """One update, unless it or a gradient ``beside`` it is not finite: then the last good weights stay.

        Counts it; returns whether it was written.
        """
        finite = all(bool(torch.isfinite(gradient).all()) for gradient in beside if gradient is not None)
        written = finite and self._adam.step(gradients, clip=self._clip)
        self.updates, self.skipped = self.updates + written, self.skipped + (not written)
        return written

    def state(self) -> State:
        """Weights, moments, counts."""
        weights = {f"weight.{name}": value.detach() for name, value in self._parameters.items()}
        return weights | gather({"adam": self._adam}) | {"updates": torch.tensor([self.updates, self.skipped])}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`; other entries do not disturb."""
        for name, value in self._parameters.items():
            value.copy_(state[f"weight.{name}"])
        scatter({"adam": self._adam}, state)
        self.updates, self.skipped = state["updates"].tolist()


class Turn:
    """Rows of a growing table, ``size`` at a time, round and round without the null row."""

    def __init__(self, size: int) -> None:
        self.size, self.begin = size, 1

    def next(self, rows: int) -> Tensor:
        """``[m]`` whose turn it is in a table of ``rows``, ``m`` at most ``size``."""
        others = rows - 1
        if others < 1:
            return torch.zeros(0, dtype=torch.int64)
        turn = (torch.arange(min(self.size, others)) + self.begin - 1) % others + 1
        self.begin = int(turn[-1]) % others + 1
        return turn
