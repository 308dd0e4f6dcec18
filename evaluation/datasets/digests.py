"""Checksums, written as ``sha256:…`` or ``md5:…``.

MD5 protects from accidents only; it is used where a publisher gives nothing else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from evaluation.datasets.errors import DatasetError


def digest_of(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file, with its kind in front."""
    with path.open("rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


def check_digest(path: Path, name: str, expected: str, fix: str) -> None:
    """Raises :class:`DatasetError` on ``name``, ending in ``fix``, if ``path`` is not what ``expected`` says."""
    found = digest_of(path, expected.partition(":")[0])
    if found != expected:
        raise DatasetError(f"{name}: its checksum is {found}, not {expected}; {fix}")
