"""Append-only segments of checksummed lines: what the step journal and the log of side inputs are made of.

A line is the CRC-32 of its body as eight hex digits, a space, the body (which holds no line break) and a line break.
What a crash tore is the last line of the last segment, which is cut away; any other broken line is an error.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path


class JournalError(ValueError):
    """Raised for a journal, or a log of side inputs, that contradicts itself anywhere but in its torn last line."""


class LineFile:
    """One segment that is being written. Lines reach the operating system at once, and the disk with :meth:`sync`."""

    def __init__(self, path: Path, whole: int) -> None:
        """Go on after the first ``whole`` bytes of ``path``; what a crash left behind them is cut away."""
        self.size = whole
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._cut()

    def append(self, bodies: Iterable[bytes]) -> None:
        """Write a line for each body: all of them, or none and OSError."""
        data = memoryview(b"".join(b"%08x %b\n" % (zlib.crc32(body), body) for body in bodies))
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError:
            self._cut()
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Make all lines reach the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cut(self) -> None:
        # The next line has to start on a line of its own.
        os.ftruncate(self._file, self.size)
        os.lseek(self._file, self.size, os.SEEK_SET)


def segment(folder: Path, number: int) -> Path:
    """The segment whose first line is number ``number``."""
    return folder / f"{number:020d}"


def segments(folder: Path) -> list[Path]:
    """All segments in order; a folder that does not exist has none."""
    return sorted(path for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def read_lines(path: Path, *, last: bool) -> tuple[list[bytes], int]:
    """Bodies of one segment, and how many of its bytes are whole; ``last``: it may end in a torn line.

    Raises :class:`JournalError` for any other broken line.
    """
    lines = path.read_bytes().split(b"\n")
    bodies: list[bytes] = []
    whole = 0
    for number, line in enumerate(lines[:-1], start=1):
        checksum, _, body = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(body):
            if last and number == len(lines) - 1:
                break
            raise JournalError(
                f"{path}, line {number}: the checksum does not match, so what comes after it cannot be trusted; "
                "restore the file, or remove the shard's folder to rebuild it from the log"
            )
        bodies.append(body)
        whole += len(line) + 1
    return bodies, whole
