"""The fusion ranker: gated, additive, learned on line from every event.

Additive on purpose: a score is the sum of what each feature gave, so a reason can be read off instead of guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dyngraph.protocols import Feature, Signal, Update
from dyngraph.state import State, gather, scatter
from models.optimiser import NamedAdam

REFUSAL = 20.0
"""What a fresh refusal costs, in score units: far above what all gates together have been seen to give."""

AT_ONCE = 32
"""Queries of one update."""

SETTLING = 10_000
"""Choices after which the learning rate is down to 1/√2."""
FIRST_GATE = 0.2
"""What every feature but a lowering one starts with."""
FIRST_BIAS = math.log(math.expm1(FIRST_GATE))
"""Of raising features: softplus of it is the first gate."""
LEAST_RATE = 0.3
"""Share of the learning rate that stays."""


class GatedRanker(nn.Module):
    """``score = Σ_f gate_f(context) · x_f``.

    The gate of a raising feature is ``softplus(a_f + b_f · context) ≥ 0``; a learned one has a free weight of the same
    form; a lowering one has the fixed weight :data:`REFUSAL`. Trained by softmax over the candidates, where a choice at
    rank r weighs 1 / log2(1 + r): what stands where nobody looks has less to teach. The learning rate starts at ``lr``
    and falls with 1/√ of the choices learned from, down to :data:`LEAST_RATE` of it, so that gates settle on a long log
    and still follow one that changes.
    """

    def __init__(self, features: Sequence[Feature], context: int, lr: float = 0.01, clip: float = 1.0) -> None:
        super().__init__()
        signals = [feature.signal for feature in features]
        self._raises = torch.tensor([signal is Signal.RAISES for signal in signals])
        self._lowers = torch.tensor([signal is Signal.LOWERS for signal in signals])
        self.bias = nn.Parameter(torch.where(self._raises, FIRST_BIAS, FIRST_GATE))
        self.slope = nn.Parameter(torch.zeros(context, len(features)))
        self._clip, self._lr = clip, lr
        self._optimiser = NamedAdam(dict(self.named_parameters()), lr=lr)
        self.skipped = 0
        self.learned = 0
        """Choices learned from."""

    @torch.no_grad()
    def gates(self, context: Tensor) -> Tensor:
        """Weights ``[U, F]`` of the features for queries in ``context [U, c]``."""
        raw = self._raw(context)
        # In float64, because the vector and the scalar loop of one kernel differ in the last bit of float32, and one
        # context must get the same gates wherever in the call it stands.
        learned = torch.where(self._raises, functional.softplus(raw.double()).float(), raw)
        return torch.where(self._lowers, -REFUSAL, learned)

    def _raw(self, context: Tensor) -> Tensor:
        return self.bias + context @ self.slope

    @torch.no_grad()
    def plan(self, features: Tensor, context: Tensor, scores: Tensor, query: Tensor, place: Tensor) -> Update | None:
        """What to learn from choosing ``place [E]`` in ``query [E]``; nothing is written.

        The loss is the mean softmax loss under the scores given. Queries are learned from :data:`AT_ONCE` at a time,
        in order, each time with the gates learned so far, so that a large step teaches as much as small ones.
        """
        parts = []
        loss = -torch.log_softmax(scores, dim=1)[query, place].mean()
        for first in range(0, len(scores), AT_ONCE):
            chosen = (query >= first) & (query < first + AT_ONCE)
            if bool(chosen.any()):
                part = slice(first, first + AT_ONCE)
                valid = torch.isfinite(scores[part])
                parts.append(Lesson(features[part], context[part], valid, query[chosen] - first, place[chosen]))
        return RankerUpdate(self, float(loss), parts)

    @torch.no_grad()
    def gradients(self, lesson: Lesson) -> dict[str, Tensor]:
        """Of the softmax loss, choice e weighing ``w_e = 1 / log2(1 + rank_e)``: with p the softmax of a query's scores
        and W its choices' weights, ``∂loss/∂gate = Σ_c (p_c Σ W - w_c) x_c / Σ_e w_e``.
        """
        features, context, valid, query, place = lesson
        raw = self._raw(context)
        scores = torch.bmm(features, self.gates(context).unsqueeze(2)).squeeze(2).masked_fill(~valid, -torch.inf)
        weight = 1 / torch.log2(2 + (scores[query] > scores[query, place].unsqueeze(1)).sum(1))
        error = torch.softmax(scores, dim=1) * torch.bincount(query, weight, minlength=len(scores)).unsqueeze(1)
        error.index_put_((query, place), -weight, accumulate=True)
        by_gate = torch.bmm(error.unsqueeze(1), features).squeeze(1) / weight.sum()
        by_raw = torch.where(self._raises, by_gate * torch.sigmoid(raw), by_gate).masked_fill(self._lowers, 0)
        # A query without a choice may have no candidate at all, and then no softmax.
        by_raw = by_raw.masked_fill((torch.bincount(query, minlength=len(scores)) == 0).unsqueeze(1), 0)
        return {"bias": by_raw.sum(0), "slope": context.T @ by_raw}

    def learn(self, lesson: Lesson) -> None:
        """One update, unless it is not finite: then it is counted and the last good weights stay."""
        choices = len(lesson.query)
        # A mean over n choices is √n times less noisy than over one, so that much larger a step may be.
        rate = self._lr * max(LEAST_RATE, (1 + self.learned / SETTLING) ** -0.5)
        self._optimiser.lr = rate * math.sqrt(choices)
        if self._optimiser.step(self.gradients(lesson), clip=self._clip):
            self.learned += choices
        else:
            self.skipped += 1

    def state(self) -> State:
        """Weights, optimiser, skipped updates and choices learned from."""
        adam = gather({"adam": self._optimiser})
        weights = {f"weight.{name}": value.detach() for name, value in self.named_parameters()}
        return weights | adam | {"counts": torch.tensor([self.skipped, self.learned])}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        for name, value in self.named_parameters():
            value.copy_(state[f"weight.{name}"])
        self.skipped, self.learned = state["counts"].tolist()
        scatter({"adam": self._optimiser}, state)


class Lesson(NamedTuple):
    """Some queries and what was chosen in them."""

    features: Tensor
    """``[U, C, F]``"""
    context: Tensor
    """``[U, c]``"""
    valid: Tensor
    """``[U, C]`` bool: which places hold a candidate."""
    query: Tensor
    """``[E]``"""
    place: Tensor
    """``[E]``"""


@dataclass(frozen=True)
class RankerUpdate:
    """What a step will learn."""

    ranker: GatedRanker
    loss: float
    lessons: list[Lesson]

    def apply(self) -> None:
        """Learn it."""
        for lesson in self.lessons:
            self.ranker.learn(lesson)
