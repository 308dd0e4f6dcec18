"""The learned numbers of an encoder, read out as plain float64 arrays.

The only place of the reference that knows how the encoder names its parts; everything computed from these numbers is
written a second time, in :mod:`reference.tgn`, so that a wrong formula cannot agree with itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.tgn import TGN
from models.tgn.sides import Side

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One attention layer; ``d`` memory, ``F`` edge, ``T`` time."""

    query: Matrix
    """``[d, d]``"""
    query_bias: Vector
    key: Matrix
    """``[d, d + F + T]``"""
    value: Matrix
    """``[d, d + F + T]``"""
    mix: Matrix
    """``[d, d]``"""
    first: Matrix
    """``[d, d]``"""
    first_bias: Vector
    second: Matrix
    """``[d, d]``"""
    second_bias: Vector


@dataclass(frozen=True)
class Cell:
    """A recurrent cell's two linear maps, gates one under the other as torch keeps them (reset, update, new)."""

    inner: Matrix
    """``[g·d, d + d + F + T]``: of the node's memory and its message."""
    inner_bias: Vector
    hidden: Matrix
    """``[g·d, d]``: of the memory."""
    hidden_bias: Vector


@dataclass(frozen=True)
class SideWeights:
    """All that one side (users, or items) has learned."""

    cell: Cell | None
    layers: tuple[Layer, ...]
    drift: Vector | None
    """``[d]`` of the time projection."""
    text: Matrix | None
    """``[d, x]``"""
    static: Matrix
    """``[rows, d]``"""


def read(encoder: TGN) -> dict[str, SideWeights]:
    """What the encoder's modules hold now, per side. Nothing that it derives from them is looked at."""
    return {"user": _side(encoder.user), "item": _side(encoder.item)}


def _side(side: Side) -> SideWeights:
    cell = side.cell
    return SideWeights(
        cell=None if cell is None else cell_of(cell),
        layers=tuple(layer_of(layer) for layer in side.attention),
        drift=None if side.drift is None else _array(side.drift),
        text=None if side.text is None else _array(side.text.weight),
        static=_array(side.static.state()["rows"]),
    )


def cell_of(cell: nn.GRUCell | nn.RNNCell) -> Cell:
    """A recurrent cell's maps."""
    return Cell(*map(_array, (cell.weight_ih, cell.bias_ih, cell.weight_hh, cell.bias_hh)))


def layer_of(layer: nn.Module) -> Layer:
    """An attention layer's maps."""
    attention = ("query.weight", "query.bias", "key.weight", "value.weight")
    behind = ("mix.weight", "hidden.weight", "hidden.bias", "out.weight", "out.bias")
    return Layer(*(_array(layer.get_parameter(name)) for name in (*attention, *behind)))


def _array(values: Tensor) -> Matrix:
    return values.detach().cpu().double().numpy().copy()
