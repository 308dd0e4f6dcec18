"""What the temporal graph network learns, and from what: the loss over captured examples and its update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from dyngraph.arrays import TORCH
from dyngraph.graph import DynamicGraph
from models.tgn.examples import Examples, Inputs
from models.tgn.formulas import projected
from models.tgn.reading import through_layers
from models.tgn.sides import Side

if TYPE_CHECKING:
    from models.tgn.encoder import TGN


@torch.enable_grad()
def learn_from(encoder: TGN, graph: DynamicGraph, examples: Examples, log_q: Tensor) -> TGNUpdate:
    """Gradients of one update over ``examples``, whose items also hold the drawn ones; ``log_q [P]`` for each item.

    Every part of the encoder that the examples use is on the gradient path, the memory updaters included.
    """
    users, user_place = torch.unique(examples.users.rows, return_inverse=True)
    items, item_place = torch.unique(examples.items.rows, return_inverse=True)
    user_static = encoder.user.static[users].requires_grad_()
    item_static = encoder.item.static[items].requires_grad_()
    texts = torch.as_tensor(graph.users.vectors), torch.as_tensor(graph.items.vectors)
    z = _embedded(encoder.user, encoder.item, examples.users, user_static[user_place], texts[0])
    v = _embedded(encoder.item, encoder.user, examples.items, item_static[item_place], texts[1])
    if encoder.config.loss == "bpr":
        loss = _pairwise(z, v, examples, encoder.config.refusal_weight)
    else:
        loss = _softmax(z, v, log_q, examples, encoder.config.refusal_weight, sampled=bool(encoder.config.draws))
    weights = encoder.optimiser.parameters
    gradients = torch.autograd.grad(loss, [*weights.values(), user_static, item_static], allow_unused=True)
    dense = {name: g for name, g in zip(weights, gradients[:-2], strict=True) if g is not None}
    rows = (users, _some(gradients[-2], user_static)), (items, _some(gradients[-1], item_static))
    return TGNUpdate(encoder, float(loss.detach()), dense, *rows)


def _some(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def _embedded(own: Side, far: Side, inputs: Inputs, static: Tensor, texts: Tensor) -> Tensor:
    """Embeddings ``[n, d]`` of captured inputs, waiting messages applied on the gradient path."""
    h = static
    if own.cell is not None:
        h = h + own.update(*inputs.raw)
    if own.text is not None:
        h = h + own.text(texts[inputs.rows])
    if inputs.slots is not None:
        out: Tensor = through_layers(TORCH, own.layers, far.layers, h, inputs.slots)
        return out
    return h if own.drift is None else projected(own.drift, h, inputs.away)


def _softmax(
    z: Tensor, v: Tensor, log_q: Tensor, examples: Examples, refusal_weight: float, *, sampled: bool
) -> Tensor:
    """Softmax over the pool, and a push away from refused items.

    ``z [U, d]``, ``v [P, d]``. A sampled pool is corrected for how often each item gets into it (log-Q, Yi et al.
    2019); where all items were added, every other event's own item would compete twice, so it is left out. An item may
    stand in the pool several times (captured at different steps, or drawn); only the place of the event itself
    competes for the event.
    """
    logits = z @ v.T / math.sqrt(z.shape[1])
    rows, wanted = examples.items.rows, examples.wanted
    own = rows[examples.item]
    out = rows == own.unsqueeze(1)
    if not sampled:
        catalogue = torch.zeros_like(rows, dtype=torch.bool)
        catalogue[-int(rows.max()) :] = True
        out |= ~catalogue
        log_q = torch.zeros_like(log_q)
    out = out.scatter(1, examples.item.unsqueeze(1), False)
    choices = (logits - log_q)[examples.query].masked_fill(out, -torch.inf)
    loss = functional.cross_entropy(choices[wanted], examples.item[wanted])
    return loss + refusal_weight * _refusals(logits[examples.query, examples.item], wanted)


def _pairwise(z: Tensor, v: Tensor, examples: Examples, refusal_weight: float) -> Tensor:
    """BPR (Rendle et al. 2009): each wanted item against one drawn for the same event; the last E items are drawn."""
    query, wanted = z[examples.query], examples.wanted
    scale = 1 / math.sqrt(z.shape[1])
    own = (query * v[examples.item]).sum(1) * scale
    other = (query * v[-examples.events :]).sum(1) * scale
    loss = functional.softplus(other - own)[wanted].mean()
    return loss + refusal_weight * _refusals(own, wanted)


def _refusals(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean over all events of the push away from refused items; ``logits [E]``."""
    return (functional.softplus(logits) * ~wanted).mean()


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
        encoder.weights_changed()
