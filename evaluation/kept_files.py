"""Files that a study keeps for a later start, read again: one that is torn is named, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

T = TypeVar("T")

AGAIN = "delete it to have it made again"


class KeptFileError(ValueError):
    """A kept file that is torn, or that never was what its name says. The message is one line and complete."""

    def __init__(self, path: Path, fault: str, fix: str = AGAIN) -> None:
        super().__init__(f"{path}: {' '.join(fault.split())}; {fix}")


def kept_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, which must have these ``names``. Raises :class:`KeptFileError`."""
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise KeptFileError(path, f"cannot be read ({error})") from None
    if set(arrays) != set(names):
        raise KeptFileError(path, f"holds {', '.join(sorted(arrays)) or 'nothing'} instead of {', '.join(names)}")
    return arrays


def kept_json(path: Path, kind: type[T], what: str, fix: str = AGAIN) -> T:
    """A JSON file as ``kind``; ``what`` says in a word what it should hold. Raises :class:`KeptFileError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except ValueError as error:
        raise KeptFileError(path, f"holds no {what} ({error})", fix) from None
