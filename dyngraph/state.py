"""State as named tensors: what a snapshot stores, what a digest covers, what a load restores.

Every part of the graph that can change a list has ``state()`` and ``load_state()``; nothing is pickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

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
        prefix = f"{name}."
        part.load_state({key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)})


def digest(state: State) -> str:
    """Hex digest of names, shapes, types and bytes: equal digests mean bit-equal states."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        hasher.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        hasher.update(value.view(-1).numpy().tobytes())
    return hasher.hexdigest()
