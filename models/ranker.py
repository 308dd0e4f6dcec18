"""A first fusion ranker: gated, additive, learned on line from every event.

Additive on purpose: a score is the sum of what each feature gave, so a reason can be read off instead of guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dyngraph.protocols import Feature, Signal, Update
from dyngraph.state import State
from models.optimiser import NamedAdam

REFUSAL = 20.0
"""What a fresh refusal costs, in score units: far above what all gates together have been seen to give."""


class GatedRanker(nn.Module):
    """``score = Σ_f gate_f(context) · x_f``.

    The gate of a raising feature is ``softplus(a_f + B_f · context) ≥ 0``; a learned one has a free weight of the same
    form; a lowering one has the
    fixed weight :data:`REFUSAL`. Trained by softmax over the candidates, one update per step.
    """

    def __init__(self, features: Sequence[Feature], context: int, lr: float = 0.005, clip: float = 1.0) -> None:
        super().__init__()
        signals = [feature.signal for feature in features]
        self._raises = torch.tensor([signal is Signal.RAISES for signal in signals])
        self._lowers = torch.tensor([signal is Signal.LOWERS for signal in signals])
        # softplus(0.54) = 1: every source starts with the same say.
        self.bias = nn.Parameter(torch.where(self._raises, math.log(math.e - 1), 0.0))
        self.slope = nn.Parameter(torch.zeros(context, len(features)))
        self._clip, self._lr = clip, lr
        self._optimiser = NamedAdam(dict(self.named_parameters()), lr=lr)
        self.skipped = 0

    @torch.no_grad()
    def score(self, features: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        """Contributions ``[U, C, F]``; their sum over F is the score."""
        return self._contributions(features, context, valid)

    def _contributions(self, features: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        return features * valid.unsqueeze(2) * self._gates(context).unsqueeze(1)

    def _gates(self, context: Tensor) -> Tensor:
        """``[U, F]``"""
        raw = self.bias + context @ self.slope
        learned = torch.where(self._raises, functional.softplus(raw), raw)
        return torch.where(self._lowers, -REFUSAL, learned)

    def plan(self, features: Tensor, context: Tensor, valid: Tensor, query: Tensor, place: Tensor) -> Update | None:
        """Gradient of the mean softmax loss of choosing ``place [E]`` in ``query [E]``; nothing is written."""
        logits = self._contributions(features, context, valid).sum(2).masked_fill(~valid, -torch.inf)
        loss = functional.cross_entropy(logits[query], place)
        names = self._optimiser.parameters
        gradients = torch.autograd.grad(loss, list(names.values()))
        return _RankerUpdate(
            self, float(loss.detach()), dict(zip(names, gradients, strict=True)), choices=int(place.shape[0])
        )

    def write(self, update: _RankerUpdate) -> None:
        """Write an update, unless it is not finite: then count it and keep the last good weights."""
        # A mean over n choices is √n times less noisy than over one, so that much larger a step may be.
        self._optimiser.lr = self._lr * math.sqrt(update.choices)
        if not self._optimiser.step(update.gradients, clip=self._clip):
            self.skipped += 1

    def state(self) -> State:
        """Weights, optimiser, skipped updates."""
        adam = {f"adam.{name}": value for name, value in self._optimiser.state().items()}
        weights = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        return weights | adam | {"skipped": torch.tensor([self.skipped])}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        self.skipped = int(state["skipped"][0])
        adam = {name.removeprefix("adam."): value for name, value in state.items() if name.startswith("adam.")}
        self._optimiser.load_state(adam)


@dataclass(frozen=True)
class _RankerUpdate:
    """Gradients of one step, waiting to be written."""

    ranker: GatedRanker
    loss: float
    gradients: dict[str, Tensor]
    choices: int

    def apply(self) -> None:
        """Write them."""
        self.ranker.write(self)
