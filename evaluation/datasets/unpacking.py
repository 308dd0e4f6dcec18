"""Zip archives from elsewhere, unpacked into one folder and nowhere else.

Python's own extraction bends bad paths into good ones; here an archive that tries is refused, since nothing good is
to be expected of its other members.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from evaluation.datasets.errors import DatasetError

MOST_BYTES = 8 << 30
"""A small archive can hold a disk full of zeros."""


def unpack(archive: Path, folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Unpack into ``folder``; a single top folder in the archive is left away.

    Raises :class:`DatasetError` for a broken archive, a member that points outside, a link, a member that is
    encrypted or given twice, and more than ``most_bytes``.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            for member in members:
                _check(archive, member)
            size = sum(member.file_size for member in members)
            if size > most_bytes:
                raise DatasetError(f"{archive.name}: unpacks to {size:,} bytes, more than {most_bytes:,}; not unpacked")
            paths = [PurePosixPath(member.filename) for member in members]
            tops = {path.parts[0] for path in paths}
            strip = len(tops) == 1 and all(len(path.parts) > 1 for path in paths)
            for member, path in zip(members, paths, strict=True):
                place = folder.joinpath(*path.parts[strip:])
                place.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, place.open("xb") as target:
                    shutil.copyfileobj(source, target)
    except FileExistsError as error:
        raise DatasetError(f"{archive.name}: member {Path(error.filename).name} stands there twice") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DatasetError(f"{archive.name}: no archive that can be unpacked ({error})") from error


def _check(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename
    if outside or not path.parts:
        raise DatasetError(
            f"{archive.name}: member {member.filename!r} points outside of the folder; nothing was kept, "
            "name another source with --from"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DatasetError(f"{archive.name}: member {member.filename!r} is a link; nothing was kept")
    if member.flag_bits & 1:
        raise DatasetError(f"{archive.name}: member {member.filename!r} is encrypted; nothing was kept")
