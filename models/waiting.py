"""Examples that wait to be learned from: named tuples of columns, entry e of each of them being example e's.

A column is a tensor ``[E, …]``, a list of E things, or a named tuple of columns. ``people [E]`` are the users' rows,
those of newcomers too, so that an erasure finds them.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor


class Example(Protocol):
    """Columns with the users that they are of."""

    @property
    def people(self) -> Tensor:
        """``[E]`` user rows."""
        ...


Columns = TypeVar("Columns", bound=tuple[Any, ...])
Examples = TypeVar("Examples", bound=Example)


def together(first: Examples | None, second: Examples) -> Examples:
    """The examples of both, in this order."""
    return second if first is None else _joined(first, second)


def without_user(examples: Examples, user: int) -> Examples | None:
    """The examples of all others, None if there are none."""
    places = (examples.people != user).nonzero().squeeze(1)
    return _picked(examples, places) if len(places) else None


def pick(columns: Columns, places: Tensor) -> Columns:
    """The entries at ``places [m]``."""
    picked: Columns = _picked(columns, places)
    return picked


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, Tensor):
        return torch.cat((first, second))
    if isinstance(first, list):
        return first + second
    return type(first)(*map(_joined, first, second))


def _picked(column: Any, places: Tensor) -> Any:
    if isinstance(column, Tensor):
        return column[places]
    if isinstance(column, list):
        return [column[place] for place in places.tolist()]
    return type(column)(*(_picked(part, places) for part in column))
