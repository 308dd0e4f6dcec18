"""Reads fold weights into fewer matrices, learning does not: both are the equations of the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from reference.tgn import attention, recurrent
from reference.weights import cell_of, layer_of
from torch import Tensor, nn

from dyngraph.arrays import NUMPY, TORCH, Arrays
from models.embeddings import GrowableEmbedding
from models.tgn.config import TGNConfig
from models.tgn.formulas import attended, projected, updated
from models.tgn.sides import Attention, Side, frozen

LIBRARIES: dict[str, Arrays] = {"numpy": NUMPY, "torch": TORCH}


def randomised(module: nn.Module, spread: float = 0.5) -> None:
    """Every weight away from zero, biases too: a forgotten term must show."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)


def side_of(config: TGNConfig) -> Side:
    side = Side(config, 0, GrowableEmbedding(config.dim, 0.1, 0))
    randomised(side)
    return side


def numbers(*shape: int, seed: int = 0, spread: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("memory", ["gru", "rnn"])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_a_folded_cell_is_torchs_cell_and_the_equations_by_hand(library: str, memory: str, spread: float) -> None:
    side, xp = side_of(TGNConfig(dim=6, time_dim=3, memory=memory)), LIBRARIES[library]
    assert side.cell is not None
    own, message = numbers(5, 6, seed=1), numbers(5, 6 + 11 + 3, seed=2, spread=spread)
    weights = frozen(xp, side.folded()).updater
    assert weights is not None
    out = xp.tensor(updated(xp, weights, xp.of(own), xp.of(message)))
    torch.testing.assert_close(out, side.cell(torch.cat((own, message), 1), own).detach(), atol=2e-5, rtol=1e-5)
    cell = cell_of(side.cell)
    for row in range(5):
        inner = torch.cat((own[row], message[row])).double().numpy()
        expected = recurrent(memory, cell, inner, own[row].double().numpy())
        np.testing.assert_allclose(out[row].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("dim", "heads", "k"), [(4, 1, 1), (6, 2, 3), (12, 3, 10)])
def test_folded_attention_is_attention(library: str, dim: int, heads: int, k: int) -> None:
    config, xp = TGNConfig(dim=dim, time_dim=3, heads=heads), LIBRARIES[library]
    layer = Attention(config)
    randomised(layer)
    n = 2**k if k < 4 else 40
    h, slots = numbers(n, dim, seed=1), numbers(n, k, config.slot_width, seed=2)
    # Every pattern of usable slots occurs, none at all included.
    mask = torch.tensor([[bool(row >> slot & 1) for slot in range(k)] for row in range(n)])
    folded = layer.arranged()
    weights = type(folded)(*(xp.of(part) if isinstance(part, Tensor) else part for part in folded))
    out = xp.tensor(attended(xp, weights, xp.of(h), xp.of(slots), xp.of(mask)))
    for row in range(n):
        usable = [slots[row, slot].double().numpy() for slot in range(k) if mask[row, slot]]
        expected = attention(layer_of(layer), heads, h[row].double().numpy(), usable)
        np.testing.assert_allclose(out[row].numpy(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_stands_in_unusable_slots_does_not_matter(library: str) -> None:
    config, xp = TGNConfig(dim=6, time_dim=3), LIBRARIES[library]
    layer = Attention(config)
    randomised(layer)
    folded = layer.arranged()
    weights = type(folded)(*(xp.of(part) if isinstance(part, Tensor) else part for part in folded))
    h, slots, mask = numbers(4, 6), numbers(4, 5, config.slot_width), torch.arange(5).repeat(4, 1) < 2
    other = slots.clone()
    other[:, 2:] = 1e4
    given, same = (xp.tensor(attended(xp, weights, xp.of(h), xp.of(x), xp.of(mask))) for x in (slots, other))
    assert given.equal(same)


@pytest.mark.parametrize("library", LIBRARIES)
def test_time_projection_leaves_a_node_as_it_is_at_its_last_event(library: str) -> None:
    xp = LIBRARIES[library]
    drift, h = numbers(4, seed=1), numbers(2, 4, seed=2)
    away = torch.tensor([0.0, math.log1p(3)])
    out = xp.tensor(projected(xp.of(drift), xp.of(h), xp.of(away)))
    torch.testing.assert_close(out[0], h[0])
    torch.testing.assert_close(out[1], (1 + drift * math.log1p(3)) * h[1])


@pytest.mark.parametrize(("dim", "heads", "k"), [(4, 1, 1), (6, 2, 3), (12, 3, 10)])
def test_attention_on_the_gradient_path_is_attention_and_reaches_every_weight(dim: int, heads: int, k: int) -> None:
    config = TGNConfig(dim=dim, time_dim=3, heads=heads)
    layer = Attention(config)
    randomised(layer)
    h, slots = numbers(40, dim, seed=1), numbers(40, k, config.slot_width, seed=2)
    mask = torch.tensor([[bool(row >> slot & 1) for slot in range(k)] for row in range(40)])
    out = layer(h, slots, mask)
    for row in range(40):
        usable = [slots[row, slot].double().numpy() for slot in range(k) if mask[row, slot]]
        expected = attention(layer_of(layer), heads, h[row].double().numpy(), usable)
        np.testing.assert_allclose(out[row].detach().numpy(), expected, atol=1e-5, rtol=1e-4)
    out.square().sum().backward()
    still = {name for name, weight in layer.named_parameters() if weight.grad is None or not weight.grad.any()}
    # The softmax of one slot alone is 1, whatever is asked.
    assert still == (set() if k > 1 else {"query.weight", "query.bias", "key.weight"})


@pytest.mark.parametrize("memory", ["gru", "rnn"])
def test_memory_on_the_gradient_path_is_the_same_and_keeps_what_has_no_message(memory: str) -> None:
    side = side_of(TGNConfig(dim=6, time_dim=3, memory=memory))
    own, message, pending = numbers(5, 6, seed=1), numbers(5, 20, seed=2), torch.tensor([1, 0, 1, 1, 0]) > 0
    weights = frozen(NUMPY, side.folded()).updater
    assert weights is not None
    expected = torch.from_numpy(updated(NUMPY, weights, own.numpy(), message.numpy()))
    out = side.update(own, message, pending).detach()
    torch.testing.assert_close(out[pending], expected[pending])
    assert out[~pending].equal(own[~pending])
