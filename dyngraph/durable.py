"""What makes a file on disk something to rely on: its bytes have reached the disk, and their digest is known.

Snapshots and handed-over weights are both written under a temporary name, synced and renamed; these are the parts they
share.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, reach the disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sha256_of(path: Path) -> str:
    """64 hex digits over a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
