"""What each call of a recording took, a line each in a file beside the answers; a recording that goes on adds to it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evaluation.reasoning.recording import Called


class Calls:
    """The file of a recording's calls, whoever made them and when."""

    def __init__(self, path: Path) -> None:
        """Cuts off the line that a killed recording left unfinished; its answer, where there was one, is in the cache.

        Raises ValueError for a file with another line that is no call.
        """
        self._path = path
        whole, _, torn = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        if torn:
            with path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        self._found = [_call(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]

    def add(self, called: Called) -> None:
        """Write one down."""
        self._found.append(called)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(called) + b"\n")

    def by_kind(self) -> dict[str, list[Called]]:
        """All there ever were."""
        found: dict[str, list[Called]] = {}
        for called in self._found:
            found.setdefault(called.kind, []).append(called)
        return found


def _call(path: Path, number: int, line: bytes) -> Called:
    try:
        return msgspec.json.decode(line, type=Called)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: no call of a recording ({error}); delete the line") from None
