"""The trainable parts of one side of the graph: users, or items."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dyngraph.arrays import TORCH, Array, Arrays
from models.embeddings import GrowableEmbedding
from models.tgn.config import TGNConfig
from models.tgn.formulas import AttentionWeights, UpdaterWeights, attended


class Attention(nn.Module):
    """Parameters of one attention layer; :func:`models.tgn.formulas.attended` says what they compute.

    Arranged as a transformer block: ``y = h + W_o · attention(h)``, ``z = y + W_2 relu(W_1 y)``; the paper has
    ``W_2 relu(W_1 [attention ‖ h])``. The query sees its own time difference, which is always 0, so the encoded zero is
    part of its bias. Keys have no bias (a softmax does not see it) and values none either.
    """

    def __init__(self, config: TGNConfig) -> None:
        super().__init__()
        d, self.heads = config.dim, config.heads
        self.query = nn.Linear(d, d)
        self.key = nn.Linear(config.slot_width, d, bias=False)
        self.value = nn.Linear(config.slot_width, d, bias=False)
        self.mix = nn.Linear(d, d, bias=False)
        self.hidden = nn.Linear(d, d)
        self.out = nn.Linear(d, d)

    def forward(self, h: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """``h [n, d]`` query nodes, ``x [n, K, D]`` their slots, ``mask [n, K]`` the usable ones; to ``[n, d]``."""
        z: Tensor = attended(TORCH, self.arranged(), h, x, mask)
        return z

    def arranged(self) -> AttentionWeights:
        """The parameters as the formula takes them, on the gradient path if gradients are on."""
        d = self.query.in_features
        parts, scale = (self.heads, d // self.heads, -1), math.sqrt(self.heads / d)
        return AttentionWeights(
            self.query.weight.T * scale,
            self.query.bias * scale,
            self.key.weight.view(parts),
            self.value.weight.view(parts).transpose(1, 2),
            self.mix.weight.T,
            self.hidden.weight.T,
            self.hidden.bias,
            self.out.weight.T,
            self.out.bias,
        )


class Folded(NamedTuple):
    """All weights of a side in the form that the formulas take."""

    updater: UpdaterWeights | None
    layers: tuple[AttentionWeights, ...]
    drift: Array | None
    """``[d]`` of the time projection."""
    text: Array | None
    """``[v, d]`` from static vectors to the embedding space."""


class Side(nn.Module):
    """Memory cell, attention layers, time projection, learned and given static vectors."""

    def __init__(self, config: TGNConfig, vector_dim: int, static: GrowableEmbedding) -> None:
        super().__init__()
        self.config, self.static = config, static
        cells = {"gru": nn.GRUCell, "rnn": nn.RNNCell}
        self.cell: nn.GRUCell | nn.RNNCell | None = None
        if config.memory != "none":
            self.cell = cells[config.memory](config.dim + config.message_width, config.dim)
        depth = config.layers if config.attends else 0
        self.attention = nn.ModuleList(Attention(config) for _ in range(depth))
        if config.embedding != "attention":
            # Only messages use it, and they are stored without gradient: it keeps its start.
            self.attention.requires_grad_(False)
        self.drift = nn.Parameter(torch.zeros(config.dim)) if config.embedding == "time" else None
        self.text = nn.Linear(vector_dim, config.dim, bias=False) if vector_dim else None

    @property
    def layers(self) -> list[Attention]:
        """The attention layers, the one nearest to the asking node last."""
        return [layer for layer in self.attention if isinstance(layer, Attention)]

    def update(self, own: Tensor, message: Tensor, pending: Tensor) -> Tensor:
        """Memory ``[n, d]`` with the messages that wait applied, on the gradient path."""
        assert self.cell is not None
        new: Tensor = self.cell(torch.cat((own, message), dim=1), own)
        return torch.where(pending.unsqueeze(1), new, own)

    def folded(self) -> Folded:
        """The weights as :mod:`models.tgn.formulas` takes them."""
        return Folded(
            None if self.cell is None else _cell(self.cell),
            tuple(layer.arranged() for layer in self.layers),
            self.drift,
            None if self.text is None else self.text.weight.T,
        )


def _cell(cell: nn.GRUCell | nn.RNNCell) -> UpdaterWeights:
    """Inputs are ``[memory ‖ message]`` and the state is that memory again, so gates that see both see a sum."""
    d = cell.hidden_size
    of_input, of_state = cell.weight_ih.T, cell.weight_hh.T
    if isinstance(cell, nn.RNNCell):
        joint = torch.cat((of_input[:d] + of_state, of_input[d:]))
        return UpdaterWeights(joint, cell.bias_ih + cell.bias_hh, None, None)
    gates = 2 * d
    first = torch.cat((of_input[:d, :gates] + of_state[:, :gates], of_input[:d, gates:]), dim=1)
    bias = torch.cat((cell.bias_ih[:gates] + cell.bias_hh[:gates], cell.bias_ih[gates:]))
    return UpdaterWeights(torch.cat((first, of_input[d:])), bias, of_state[:, gates:], cell.bias_hh[gates:])


@torch.no_grad()
def frozen(xp: Arrays, folded: Folded) -> Folded:
    """The same weights as contiguous arrays of ``xp``, without gradient."""

    def array(part: Any) -> Any:
        return xp.of(part.contiguous()) if isinstance(part, Tensor) else part

    updater = None if folded.updater is None else UpdaterWeights(*map(array, folded.updater))
    layers = tuple(AttentionWeights(*map(array, layer)) for layer in folded.layers)
    return Folded(updater, layers, array(folded.drift), array(folded.text))
