"""One process per shard folder, whoever the group says owns the partition.

When a partition moves, its new owner may be ready before the old one has written its last snapshot; and a
worker that was cut off does not know yet that it lost anything. Two writers in one journal would ruin it, so
a folder is locked while its shard is open. The system lets go of the lock when the process ends, also when it
is killed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":

    def _flock(file: int) -> None:
        """Windows has no such lock: there, one worker per state directory has to be kept by hand."""

else:
    import fcntl

    def _flock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


WAIT_S = 60.0


class ShardInUseError(RuntimeError):
    """Raised when another process does not let go of a shard's folder."""


class ShardLock:
    """The lock of one shard folder. `acquire` blocks, so call it off the event loop."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: int | None = None

    def acquire(self, wait_s: float = WAIT_S) -> None:
        """Take the lock, waiting for its present owner. Raises `ShardInUseError` after `wait_s` seconds."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + wait_s
        while not _try(file):
            if time.monotonic() > deadline:
                owner = os.read(file, 20).decode(errors="replace").strip() or "?"
                os.close(file)
                raise ShardInUseError(
                    f"{self._path.parent} is in use by process {owner}: stop that worker, or give this one another "
                    "--state-dir"
                )
            time.sleep(0.05)
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _try(file: int) -> bool:
    try:
        _flock(file)
    except BlockingIOError:
        return False
    return True
