"""State as named tensors: what a snapshot stores, what a digest covers, what a load restores.

Every part of the graph that can change a list has ``state()`` and ``load_state()``; nothing is pickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]
"""Flat names to tensors; nested parts are joined with dots."""


class Stateful(Protocol):
    """A part whose whole content can be written down and restored."""

    def state(self) -> State:
        """All that is needed to go on exactly where this part stands."""
        ...

    def load_state(self, state: State) -> None:
        """Restore what :meth:`state` gave."""
        ...


def gather(parts: Mapping[str, Stateful]) -> State:
    """The states of named parts as one flat state."""
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state().items()}


def scatter(parts: Mapping[str, Stateful], state: State) -> None:
    """Inverse of :func:`gather`: hand every part what belongs to it."""
    for name, part in parts.items():
        part.load_state(below(f"{name}.", state))


def below(prefix: str, state: State) -> State:
    """The entries whose names begin with ``prefix``, by the rest of their names.

    >>> below("adam.", {"adam.step": torch.tensor(3), "weight": torch.tensor(1)})
    {'step': tensor(3)}
    """
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def packed(texts: Sequence[str]) -> State:
    """Texts as tensors: their UTF-8 bytes, and where each ends. Any character may occur in them."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    blob = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
    return {"bytes": torch.from_numpy(blob), "ends": torch.from_numpy(ends)}


def unpacked(state: State) -> list[str]:
    """Inverse of :func:`packed`."""
    blob, ends = state["bytes"].numpy().tobytes(), state["ends"].tolist()
    return [blob[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


def digest(state: State) -> str:
    """Hex digest of names, shapes, types and bytes: equal digests mean bit-equal states."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        hasher.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        hasher.update(value.view(-1).numpy().tobytes())
    return hasher.hexdigest()
