"""The trainable parts of one side of the graph: users, or items."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dyngraph.arrays import Array, Arrays
from models.embeddings import GrowableEmbedding
from models.tgn.config import TGNConfig
from models.tgn.formulas import AttentionWeights, UpdaterWeights


class Attention(nn.Module):
    """Parameters of one attention layer; :mod:`models.tgn.formulas` says what they compute.

    The query sees its own time difference, which is always 0, so the encoded zero is part of the query's bias. Keys
    have no bias (a softmax does not see it) and values none either (the map behind has one).
    """

    def __init__(self, config: TGNConfig) -> None:
        super().__init__()
        d, self.heads = config.dim, config.heads
        self.query = nn.Linear(d, d)
        self.key = nn.Linear(config.slot_width, d, bias=False)
        self.value = nn.Linear(config.slot_width, d, bias=False)
        self.hidden = nn.Linear(2 * d, d)
        self.out = nn.Linear(d, d)

    def folded(self) -> AttentionWeights:
        """On the gradient path if gradients are on."""
        heads, d = self.heads, self.query.in_features
        key, value = self.key.weight.view(heads, d // heads, -1), self.value.weight.view(heads, d // heads, -1)
        scale = 1 / math.sqrt(d // heads)
        meets = torch.einsum("hki,hkw->ihw", self.query.weight.view(heads, d // heads, d), key).reshape(d, -1) * scale
        bias = torch.einsum("hk,hkw->hw", self.query.bias.view(heads, -1), key).reshape(-1) * scale
        behind, direct = self.hidden.weight[:, :d], self.hidden.weight[:, d:]
        pooled = torch.einsum("xhk,hkw->hwx", behind.reshape(-1, heads, d // heads), value).reshape(-1, d)
        return AttentionWeights(
            torch.cat((meets, direct.T), dim=1),
            torch.cat((bias, self.hidden.bias)),
            pooled,
            self.out.weight.T,
            self.out.bias,
            heads,
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

    def folded(self) -> Folded:
        """On the gradient path if gradients are on."""
        return Folded(
            None if self.cell is None else _cell(self.cell),
            tuple(layer.folded() for layer in self.attention if isinstance(layer, Attention)),
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
