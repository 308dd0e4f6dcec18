"""From a file's bytes to UTF-8, and plain words where they are something else.

A wrong guess turns ``Zoë`` into ``ZoÃ«`` in every title and splits users in two, so nothing is guessed: text is UTF-8
unless a person or the layout's own description says otherwise.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from evaluation.readers.errors import DataFileError
from evaluation.readers.progress import Bar

BOM = codecs.BOM_UTF8
_WIDE = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_UNREADABLE = (OSError, EOFError, zlib.error)


def is_packed(path: Path) -> bool:
    """Whether the name says gzip."""
    return path.name.lower().endswith(".gz")


def bytes_of(path: Path) -> bytes:
    """The whole file, unpacked. Raises :class:`DataFileError` if it cannot be read or holds nothing."""
    try:
        data = path.read_bytes()
        if is_packed(path):
            data = gzip.decompress(data)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not data.removeprefix(BOM).strip():
        raise DataFileError(f"{path}: the file is empty; it needs at least one row")
    return data


def head_of(path: Path, size: int = 65_536) -> bytes:
    """The first ``size`` bytes, unpacked; nothing where the file cannot be read (reading it will say why)."""
    try:
        with gzip.open(path, "rb") if is_packed(path) else path.open("rb") as stream:
            return stream.read(size)
    except _UNREADABLE:
        return b""


def lines_of(path: Path, bar: Bar, encoding: str | None = None) -> Iterator[tuple[int, bytes]]:
    """UTF-8 lines with their 1-based numbers, never more than one in memory; blank ones are skipped.

    Raises :class:`DataFileError` if the file cannot be read, or is not in ``encoding`` where one is given.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            size = path.stat().st_size
            stream: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if is_packed(path) else raw
            for number, line in enumerate(_transcoded(stream, encoding), start=1):
                if number % 4096 == 0:
                    bar.at(raw.tell(), size)
                if line.strip():
                    yield number, line.removeprefix(BOM) if number == 1 else line
    except UnicodeError as error:
        raise DataFileError(
            f"{path}: what follows line {number} is not all {encoding}; leave --encoding out, or name another one"
        ) from error
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _transcoded(stream: Iterable[bytes], encoding: str | None) -> Iterable[bytes]:
    if encoding is None:
        return stream
    text = io.TextIOWrapper(cast(BinaryIO, stream), encoding=encoding, newline="\n")
    return (line.encode() for line in text)


def as_utf8(
    path: Path, data: bytes, encoding: str | None = None, fallback: str | None = None, first_line: int = 1
) -> bytes:
    """``data`` as UTF-8 without a byte order mark.

    ``encoding`` is what the user says the text is; ``fallback`` what the layout's publisher used where it is not
    UTF-8; ``first_line`` where ``data`` begins in the file. Raises :class:`DataFileError` naming line, byte and the
    encoding to try.
    """
    if encoding is not None:
        return _decoded(path, data, encoding).encode()
    for mark, name in _WIDE.items():
        if data.startswith(mark):
            raise DataFileError(
                f"{path}, line 1: the file is {name} (it starts with the bytes {mark.hex()}); read it with "
                f"--encoding {name.lower()}, or convert it to UTF-8"
            )
    data = data.removeprefix(BOM)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback).encode()
        byte, before = data[error.start], data.count(b"\n", 0, error.start)
        likely = "cp1252" if 0x80 <= byte < 0xA0 else "latin-1"
        as_read = bytes([byte]).decode(likely, "replace")
        raise DataFileError(
            f"{path}, line {first_line + before}: byte {byte:#04x} at position {error.start} is not UTF-8; if it "
            f"stands for {as_read!r}, read the file with --encoding {likely}, or convert it to UTF-8"
        ) from error
    return data


def check_encoding(encoding: str | None) -> None:
    """Refuse a name that no codec has. Raises :class:`DataFileError`."""
    try:
        # Only a codec between text and bytes will do; Python also knows such as `rot13` and `hex`.
        "".encode(encoding or "utf-8")
    except LookupError as error:
        raise DataFileError(f"--encoding {encoding}: no such encoding; for example latin-1, cp1252, utf-16") from error


def _decoded(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        place = error.start if isinstance(error, UnicodeDecodeError) else 0
        before = data.count(b"\n", 0, place)
        raise DataFileError(
            f"{path}, line {1 + before}: the bytes at position {place} are not {encoding}; leave --encoding "
            "out, or name another one"
        ) from error


def _unreadable(path: Path, error: BaseException) -> DataFileError:
    # BadGzipFile is an OSError without an errno of its own.
    reason = getattr(error, "strerror", None) or str(error)
    return DataFileError(f"{path}: cannot be read ({reason}); check the file and its permissions")
