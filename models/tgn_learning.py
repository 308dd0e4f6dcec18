"""What the temporal graph network learns, and from what: the loss over captured examples and its update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from models.examples import Examples

if TYPE_CHECKING:
    from models.tgn import TGN


def learn_from(encoder: TGN, examples: Examples, log_q: Tensor) -> TGNUpdate:
    """Gradients of one update over ``examples``, whose items also hold the drawn ones; ``log_q [P]`` for each item.

    Every part of the encoder that the examples use is on the gradient path, the memory updaters included.
    """
    users, user_place = torch.unique(examples.users.rows, return_inverse=True)
    items, item_place = torch.unique(examples.items.rows, return_inverse=True)
    user_static = encoder.user.static[users].requires_grad_()
    item_static = encoder.item.static[items].requires_grad_()
    z = encoder.user.embed(examples.users, user_static[user_place])
    v = encoder.item.embed(examples.items, item_static[item_place])
    loss = _loss(z @ v.T / math.sqrt(z.shape[1]), log_q, examples, encoder.config.refusal_weight)
    weights = encoder.optimiser.parameters
    gradients = torch.autograd.grad(loss, [*weights.values(), user_static, item_static], allow_unused=True)
    dense = {name: g for name, g in zip(weights, gradients[:-2], strict=True) if g is not None}
    return TGNUpdate(encoder, float(loss.detach()), dense, (users, gradients[-2]), (items, gradients[-1]))


def _loss(logits: Tensor, log_q: Tensor, examples: Examples, refusal_weight: float) -> Tensor:
    """Sampled softmax with log-Q correction (Yi et al. 2019), and a push away from refused items.

    ``logits [U, P]``. An item may stand in the pool several times (captured at different steps, or drawn); only the
    place of the event itself competes for the event.
    """
    rows = examples.items.rows
    own = rows[examples.item]
    twins = (rows == own.unsqueeze(1)).scatter(1, examples.item.unsqueeze(1), False)
    wanted = examples.wanted
    choices = (logits - log_q)[examples.query].masked_fill(twins, -torch.inf)
    loss = functional.cross_entropy(choices[wanted], examples.item[wanted])
    if not bool(wanted.all()):
        refused = logits[examples.query[~wanted], examples.item[~wanted]]
        loss = loss + refusal_weight * functional.softplus(refused).sum() / examples.events
    return loss


@dataclass(frozen=True)
class TGNUpdate:
    """Gradients that wait to be written."""

    encoder: TGN
    loss: float
    dense: dict[str, Tensor]
    user_rows: tuple[Tensor, Tensor]
    """Distinct user rows and the gradients of their static vectors."""
    item_rows: tuple[Tensor, Tensor]

    def apply(self) -> None:
        """Write the update, unless it is not finite: then it is counted and the last good weights stay."""
        encoder = self.encoder
        static = torch.cat((self.user_rows[1], self.item_rows[1]))
        finite = bool(torch.isfinite(static).all())
        if not (finite and encoder.optimiser.step(self.dense, clip=encoder.config.clip)):
            encoder.skipped += 1
            return
        encoder.user.static.descend(*self.user_rows)
        encoder.item.static.descend(*self.item_rows)
        encoder.version += 1
