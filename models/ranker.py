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

SETTLING = 10_000
"""Choices after which the learning rate is down to 1/√2."""
LEAST_RATE = 0.3
"""Share of the learning rate that stays."""
_MORE = 2
"""Columns that :func:`_basis` adds."""


def _basis(context: Tensor) -> Tensor:
    """``[U, c + 2]``: the engine's context, the time away on a scale of minutes, and whether the user is unknown.

    The engine gives log(1 + events) / 5 and log(1 + days away) / 5. Days do not tell apart someone who was here a
    minute ago from someone who was here an hour ago, which decides between the last item and any other; a gate linear
    in both scales can.
    """
    minutes = torch.log1p(torch.expm1(5 * context[:, 1:2]) * 1440) / 10
    return torch.cat((context, minutes, (context[:, :1] == 0).to(context.dtype)), dim=1)


class GatedRanker(nn.Module):
    """``score = Σ_f gate_f(context) · x_f``.

    The gate of a raising feature is ``softplus(a_f + B_f · b(context)) ≥ 0``; a learned one has a free weight of the
    same form; a lowering one has the fixed weight :data:`REFUSAL`. Trained by softmax over the candidates, one update
    per step. The learning rate starts at ``lr`` and falls with 1/√ of the choices learned from, down to
    :data:`LEAST_RATE` of it, so that gates settle on a long log and still follow one that changes.
    """

    def __init__(self, features: Sequence[Feature], context: int, lr: float = 0.01, clip: float = 1.0) -> None:
        super().__init__()
        signals = [feature.signal for feature in features]
        self._raises = torch.tensor([signal is Signal.RAISES for signal in signals])
        self._lowers = torch.tensor([signal is Signal.LOWERS for signal in signals])
        # softplus(0.54) = 1: every source starts with the same say.
        self.bias = nn.Parameter(torch.where(self._raises, math.log(math.e - 1), 0.0))
        self.slope = nn.Parameter(torch.zeros(context + _MORE, len(features)))
        self._clip, self._lr = clip, lr
        self._optimiser = NamedAdam(dict(self.named_parameters()), lr=lr)
        self.skipped = 0
        self.learned = 0
        """Choices learned from."""

    @torch.no_grad()
    def score(self, features: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        """Contributions ``[U, C, F]``; their sum over F is the score."""
        return self._contributions(features, context, valid)

    def _contributions(self, features: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        return features * valid.unsqueeze(2) * self._gates(context).unsqueeze(1)

    def _gates(self, context: Tensor) -> Tensor:
        """``[U, F]``"""
        raw = self.bias + _basis(context) @ self.slope
        # In float64, because the vector and the scalar loop of one kernel differ in the last bit of float32, and one
        # context must get the same gates wherever in the call it stands.
        learned = torch.where(self._raises, functional.softplus(raw.double()).float(), raw)
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
        rate = self._lr * max(LEAST_RATE, (1 + self.learned / SETTLING) ** -0.5)
        self._optimiser.lr = rate * math.sqrt(update.choices)
        if self._optimiser.step(update.gradients, clip=self._clip):
            self.learned += update.choices
        else:
            self.skipped += 1

    def state(self) -> State:
        """Weights, optimiser, skipped updates and choices learned from."""
        adam = {f"adam.{name}": value for name, value in self._optimiser.state().items()}
        weights = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        return weights | adam | {"counts": torch.tensor([self.skipped, self.learned])}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        self.skipped, self.learned = state["counts"].tolist()
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
