"""The same store and the same formula on numpy or on torch arrays.

A call into torch costs three to five microseconds on a CPU, a call into numpy about one, and a step of one event makes
a hundred of them. So whatever needs no gradient runs in numpy on views of the very same memory; gradients and CUDA run
in torch. Stores and formulas are written once, against the few operations below that the two libraries spell
differently; what they spell alike (indexing, arithmetic, ``@``, comparisons) is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

Array = Any
"""``numpy.ndarray`` or ``torch.Tensor``, whichever the :class:`Arrays` at hand works on."""


class Runs(NamedTuple):
    """Positions of a key vector grouped by key: what every write with repeated nodes needs, from one sort.

    ``g`` is the number of groups. Where shapes must not depend on values (CUDA), ``g = n``: a position that is not the
    last of its key then stands for key 0, the null row, whose content is restored after each write.
    """

    distinct: Array
    """``[g]`` int64 keys."""
    last: Array
    """``[g]`` position of the key's last occurrence."""
    place: Array
    """``[n]`` the group of each position."""
    front: Array
    """``[n]`` 0 for the first occurrence of the key, 1 for the second, …"""
    back: Array
    """``[n]`` 0 for the last occurrence of the key, 1 for the one before, …"""
    sizes: Array
    """``[g]`` int64 occurrences."""


class Arrays(Protocol):
    """The operations that numpy and torch spell differently. All work on arrays of one library and one device."""

    fixed_shapes: bool
    """Whether shapes must not depend on values, because finding them out would wait for the device."""

    def of(self, tensor: Tensor) -> Array:
        """The tensor as an array of this kind, without gradient; on the same device it is the same memory."""
        ...

    def tensor(self, array: Array) -> Tensor:
        """Inverse of :meth:`of`."""
        ...

    @property
    def take(self) -> Callable[[Array, Array], Array]:
        """``take(table, rows)``: ``table[rows]`` along the first dimension; ``rows`` may have any shape."""
        ...

    def join(self, parts: Sequence[Array]) -> Array:
        """Concatenation along the last dimension."""
        ...

    def stacked(self, parts: Sequence[Array]) -> Array:
        """Concatenation along the first dimension."""
        ...

    def where(self, condition: Array, yes: Array, no: Array | float) -> Array:
        """Elementwise choice."""
        ...

    @property
    def tanh(self) -> Callable[[Array], Array]:
        """Elementwise."""
        ...

    @property
    def log1p(self) -> Callable[[Array], Array]:
        """Elementwise."""
        ...

    def relu(self, x: Array) -> Array:
        """Elementwise ``max(x, 0)``."""
        ...

    def softmax(self, x: Array, usable: Array) -> Array:
        """Softmax along the last dimension over the ``usable`` entries; zeros where there are none."""
        ...

    def turned(self, x: Array) -> Array:
        """The last two dimensions exchanged."""
        ...

    def floats(self, x: Array) -> Array:
        """As float32."""
        ...

    def waves(self, x: Array, omega: Array) -> Array:
        """``cos(x ⊗ omega)`` as float32, phases formed in float64; ``x [...]`` int64, ``omega [k]`` float64."""
        ...

    def count_to(self, n: int) -> Array:
        """``[n]`` int64 0, 1, …"""
        ...

    def blank(self, *shape: int) -> Array:
        """Float32 zeros."""
        ...

    def repeated(self, x: Array, times: int) -> Array:
        """Each entry of ``x [n, …]`` ``times`` times, one after the other: ``[n · times, …]``."""
        ...

    def runs(self, keys: Array) -> Runs:
        """Group the int64 ``keys [n]``."""
        ...

    def mean_of_runs(self, values: Array, runs: Runs) -> Array:
        """Mean of ``values [n, m]`` within each group: ``[g, m]``."""
        ...


_NEVER = -1e30
"""Logit of an entry that must not count."""
_ONE = np.zeros(1, dtype=np.int64)
_ONE_RUN = np.ones(1, dtype=np.int64)


class NumpyArrays:
    """CPU without gradient."""

    fixed_shapes = False
    take: Callable[[Array, Array], Array] = staticmethod(lambda table, rows: table.take(rows, 0))
    tanh: Callable[[Array], Array] = staticmethod(np.tanh)
    log1p: Callable[[Array], Array] = staticmethod(np.log1p)

    def of(self, tensor: Tensor) -> Array:  # noqa: D102
        return tensor.detach().numpy() if tensor.requires_grad else tensor.numpy()

    def tensor(self, array: Array) -> Tensor:  # noqa: D102
        return torch.from_numpy(array)

    def where(self, condition: Array, yes: Array, no: Array | float) -> Array:  # noqa: D102
        return np.where(condition, yes, no)

    def count_to(self, n: int) -> Array:  # noqa: D102
        return np.arange(n)

    def stacked(self, parts: Sequence[Array]) -> Array:  # noqa: D102
        return np.concatenate(parts)

    def join(self, parts: Sequence[Array]) -> Array:  # noqa: D102
        return np.concatenate(parts, -1)

    def relu(self, x: Array) -> Array:  # noqa: D102
        return np.maximum(x, 0)

    def softmax(self, x: Array, usable: Array) -> Array:  # noqa: D102
        x = np.where(usable, x, _NEVER)
        weight = np.exp(x - x.max(-1, keepdims=True))
        weight *= usable
        weight /= weight.sum(-1, keepdims=True) + 1e-30
        return weight

    def turned(self, x: Array) -> Array:  # noqa: D102
        return x.swapaxes(-1, -2)

    def floats(self, x: Array) -> Array:  # noqa: D102
        return x.astype(np.float32)

    def waves(self, x: Array, omega: Array) -> Array:  # noqa: D102
        # numpy's cosine of float64 is twenty times slower than torch's, and its product of mixed types five times than
        # that of equal ones.
        return torch.from_numpy(x.astype(np.float64)[..., None] * omega).cos_().float().numpy()

    def blank(self, *shape: int) -> Array:  # noqa: D102
        return np.zeros(shape, dtype=np.float32)

    def repeated(self, x: Array, times: int) -> Array:  # noqa: D102
        return np.repeat(x, times, axis=0)

    def runs(self, keys: Array) -> Runs:  # noqa: D102
        n = len(keys)
        if n == 1:
            return Runs(keys, _ONE, _ONE, _ONE, _ONE, _ONE_RUN)
        order = keys.argsort(kind="stable")
        ordered = keys[order]
        bounds = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
        starts, ends = bounds[:-1], bounds[1:]
        sizes = ends - starts
        place, front = np.empty_like(order), np.empty_like(order)
        group = np.repeat(np.arange(len(sizes)), sizes)
        place[order] = group
        front[order] = np.arange(n) - starts[group]
        return Runs(ordered[starts], order[ends - 1], place, front, sizes[place] - 1 - front, sizes)

    def mean_of_runs(self, values: Array, runs: Runs) -> Array:  # noqa: D102
        # A thousand events of one node would lose two digits in float32.
        out = np.zeros((len(runs.sizes), values.shape[1]))
        np.add.at(out, runs.place, values)
        return (out / runs.sizes[:, None]).astype(np.float32)


class TorchArrays:
    """CUDA, or gradients. ``fixed_shapes`` is set for CUDA; on the CPU it serves tests of that way."""

    def __init__(self, device: torch.device | str = "cpu", *, fixed_shapes: bool = False) -> None:
        self.device = torch.device(device)
        self.fixed_shapes = fixed_shapes

    take: Callable[[Array, Array], Array] = staticmethod(lambda table, rows: table[rows])
    tanh: Callable[[Array], Array] = staticmethod(torch.tanh)
    log1p: Callable[[Array], Array] = staticmethod(torch.log1p)
    relu: Callable[[Array], Array] = staticmethod(torch.relu)

    def of(self, tensor: Tensor) -> Array:  # noqa: D102
        return tensor.detach().to(self.device, non_blocking=True)

    def tensor(self, array: Array) -> Tensor:  # noqa: D102
        out: Tensor = array
        return out

    def where(self, condition: Array, yes: Array, no: Array | float) -> Array:  # noqa: D102
        return torch.where(condition, yes, no)

    def stacked(self, parts: Sequence[Array]) -> Array:  # noqa: D102
        return torch.cat(tuple(parts))

    def join(self, parts: Sequence[Array]) -> Array:  # noqa: D102
        return torch.cat(tuple(parts), -1)

    def softmax(self, x: Array, usable: Array) -> Array:  # noqa: D102
        weight = torch.softmax(x.masked_fill(~usable, _NEVER), -1)
        return weight * usable.any(-1, keepdim=True)

    def turned(self, x: Array) -> Array:  # noqa: D102
        return x.transpose(-1, -2)

    def floats(self, x: Array) -> Array:  # noqa: D102
        return x.to(torch.float32)

    def waves(self, x: Array, omega: Array) -> Array:  # noqa: D102
        return torch.cos(x.unsqueeze(-1) * omega).float()

    def count_to(self, n: int) -> Array:  # noqa: D102
        return torch.arange(n, device=self.device)

    def blank(self, *shape: int) -> Array:  # noqa: D102
        return torch.zeros(shape, device=self.device)

    def repeated(self, x: Array, times: int) -> Array:  # noqa: D102
        return x.repeat_interleave(times, dim=0)

    def runs(self, keys: Array) -> Runs:  # noqa: D102
        n = keys.shape[0]
        ordered, order = torch.sort(keys, stable=True)
        at = self.count_to(n)
        changes = ordered[1:] != ordered[:-1]
        yes = torch.ones(1, dtype=torch.bool, device=self.device)
        starts, ends = torch.cat((yes, changes)), torch.cat((changes, yes))
        first = torch.cummax(torch.where(starts, at, 0), 0).values
        final = torch.where(ends, at, n).flip(0).cummin(0).values.flip(0)
        place, front, back = torch.empty_like(order), torch.empty_like(order), torch.empty_like(order)
        front[order], back[order] = at - first, final - at
        if self.fixed_shapes:
            place[order] = final
            return Runs(torch.where(ends, ordered, 0), order, place, front, back, final - first + 1)
        kept = ends.nonzero().squeeze(1)
        place[order] = torch.cumsum(starts, 0) - 1
        return Runs(ordered[kept], order[kept], place, front, back, (final - first + 1)[kept])

    def mean_of_runs(self, values: Array, runs: Runs) -> Array:  # noqa: D102
        out = values.new_zeros(runs.sizes.shape[0], values.shape[1], dtype=torch.float64)
        return (out.index_add_(0, runs.place, values.double()) / runs.sizes.unsqueeze(1)).float()


NUMPY = NumpyArrays()
TORCH = TorchArrays()
