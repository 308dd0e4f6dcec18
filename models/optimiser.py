"""torch's Adam by parameter name: gradients are handed in, and the state is plain named tensors.

An engine step computes an update first and writes it only when nothing can fail any more, and snapshots hold
tensors and never pickles; both need the names that torch's own state dictionary replaces by numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dyngraph.state import State


class NamedAdam:
    """Adam (Kingma & Ba 2015) with clipping by global norm over ``parameters``."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], lr: float) -> None:
        self.parameters = dict(parameters)
        self._adam = torch.optim.Adam(self.parameters.values(), lr=lr, betas=(0.9, 0.99), fused=True)

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        return float(self._adam.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self._adam.param_groups[0]["lr"] = value

    def step(self, gradients: Mapping[str, Tensor], clip: float) -> bool:
        """One update with ``gradients`` by name, scaled down to a global norm of ``clip``; others stay.

        A gradient that is not finite changes nothing: the last good weights stay. Returns whether it was written.
        """
        for name, parameter in self.parameters.items():
            parameter.grad = gradients.get(name)
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), clip, foreach=True)
        finite = bool(torch.isfinite(norm))
        if finite:
            self._adam.step()
        self._adam.zero_grad()
        return finite

    def state(self) -> State:
        """Moments and step counts of the parameters that have been updated so far."""
        return {
            f"{name}.{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self._adam.state[parameter].items()
        }

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self._adam.state.clear()
        for name, value in state.items():
            parameter, _, key = name.rpartition(".")
            self._adam.state[self.parameters[parameter]][key] = value.clone()
