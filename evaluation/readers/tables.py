"""From bytes to a table of raw columns, keeping the way back to the line a value stands on.

Text formats stay text here: types are decided per role later, by one set of rules for every format, and a
bad value can then be reported as it was written.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from evaluation.readers import delimited, jsonlines
from evaluation.readers.errors import DataFileError, Problem
from evaluation.readers.faults import Fault
from evaluation.readers.sources import format_of

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Table:
    """Raw columns of one file, rows in file order.

    ``kinds`` holds RecBole's declared column types; ``faults`` what the format itself already refuses.
    """

    path: Path
    frame: pl.DataFrame
    line_of: Callable[[int], int]
    unit: str = "line"
    kinds: dict[str, str] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    notes: tuple[str, ...] = ()
    has_blank_lines: bool = False

    @functools.cached_property
    def blank(self) -> pl.Series:
        """Which rows ``[rows]`` are empty lines of a delimited file; other formats have none."""
        if not self.has_blank_lines:
            return pl.repeat(False, self.frame.height, eager=True)
        return self.frame.select(pl.all_horizontal(pl.all().is_null())).to_series()

    def problem(self, row: int, message: str) -> Problem:
        """A fault at 0-based ``row``, with the place a person can look up."""
        return Problem(str(self.path), self.line_of(row), message, self.unit)


def read_table(path: Path) -> Table:
    """Read any known format, ``.gz`` looked through. Raises :class:`DataFileError` if it is no such file."""
    kind = format_of(path)
    data = _bytes_of(path)
    if kind == "parquet":
        return _parquet(path, data)
    data = _utf8(path, data)
    if kind == "jsonl":
        rows = jsonlines.parse(path, data)
        return Table(path, rows.frame, rows.lines.__getitem__, faults=rows.faults)
    parsed = delimited.parse(path, data, kind)
    return Table(path, parsed.frame, parsed.line_of, "line", parsed.kinds, parsed.faults, parsed.notes, True)


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        # BadGzipFile is an OSError without an errno of its own
        reason = getattr(error, "strerror", None) or str(error)
        raise DataFileError(f"{path}: cannot be read ({reason}); check the file and its permissions") from error
    if not data.removeprefix(BOM).strip():
        raise DataFileError(f"{path}: the file is empty; it needs a header and at least one row")
    return data


def _utf8(path: Path, data: bytes) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataFileError(f"{path}, line 1: the file is UTF-16 (byte 0 is {data[0]:#04x}); convert it to UTF-8")
    data = data.removeprefix(BOM)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataFileError(
            f"{path}, line {line}: byte {data[error.start]:#04x} at position {error.start} is not UTF-8; "
            "convert the file to UTF-8"
        ) from error
    return data


def _parquet(path: Path, data: bytes) -> Table:
    try:
        frame = pl.read_parquet(data)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataFileError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    if frame.is_empty():
        raise DataFileError(f"{path}: the file has no rows; it needs at least one")
    return Table(path, frame, lambda row: row + 1, unit="row")
