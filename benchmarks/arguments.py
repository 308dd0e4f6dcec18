"""Arguments, checked before anything is read or trained: argparse says which one is wrong, and ends with status 2."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection
from typing import TypeVar

import torch

T = TypeVar("T")


def whole(least: int) -> Callable[[str], int]:
    """A whole number, ``least`` or more."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise ArgumentTypeError(f"{text!r}: use a whole number, {least} or more")
        return number

    return read


def above_zero(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r}: use a number above 0")
    return number


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A name among those that are known."""

    def read(text: str) -> str:
        if text not in known:
            raise ArgumentTypeError(f"{text!r} is unknown; use some of: {', '.join(known)}")
        return text

    return read


def several(read: Callable[[str], T], between: str = "|") -> Callable[[str], list[T]]:
    """Several of what ``read`` takes, each once; what it raises as a ValueError is said as well."""

    def read_all(text: str) -> list[T]:
        try:
            return list(dict.fromkeys(read(part.strip()) for part in text.split(between)))
        except ValueError as fault:
            raise ArgumentTypeError(str(fault)) from None

    return read_all


def device(text: str) -> torch.device:
    """A device that torch can use here."""
    try:
        found = torch.device(text)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as fault:
        why = str(fault).splitlines()[0]
        raise ArgumentTypeError(f"{text!r}: torch cannot use it here ({why}); use cpu") from None
    return found
