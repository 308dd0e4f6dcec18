"""What is asked of chains on line, and what is kept of an event until it is learned from."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from dyngraph.reasoning import ReasoningGraph
from dyngraph.state import State

_packer, _unpacker = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[ReasoningGraph])


class Asked(NamedTuple):
    """n questions."""

    users: Tensor
    """``[n]`` user rows."""
    ts: Tensor
    """``[n]`` ms."""
    temporal: Tensor
    """``[n, D]`` the users' temporal embeddings."""


class Examples(NamedTuple):
    """E events of users with a graph that counted. Whoever learns from them later must not see what the items took in
    from the events themselves: hence the items' vectors and counts from before.
    """

    graphs: list[ReasoningGraph]
    people: Tensor
    """``[E]`` user rows."""
    temporal: Tensor
    """``[E, D]`` of the users, just before."""
    items: Tensor
    """``[E]`` the rows they took."""
    vectors: Tensor
    """``[E, D]`` temporal vectors of the items, just before."""
    met: Tensor
    """``[E]`` int64 events of the items, just before."""


def flat(examples: Examples) -> State:
    """As named tensors."""
    packed = np.frombuffer(_packer.encode(examples.graphs), np.uint8).copy()
    columns = zip(examples._fields[1:], examples[1:], strict=True)
    return {"graphs": torch.from_numpy(packed), **dict(columns)}


def restored(state: State) -> Examples:
    """Inverse of :func:`flat`."""
    graphs = _unpacker.decode(state["graphs"].numpy().tobytes())
    return Examples(graphs, *(state[name] for name in Examples._fields[1:]))
