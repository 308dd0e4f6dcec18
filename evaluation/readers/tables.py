"""From bytes to a table of raw columns, keeping the way back to the line a value stands on.

Text formats stay text here: types are decided per role later, by one set of rules for every format, and a
bad value can then be reported as it was written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from evaluation.readers import delimited, jsonlines
from evaluation.readers.errors import DataFileError, Problem
from evaluation.readers.faults import Fault
from evaluation.readers.sources import format_of
from evaluation.readers.text import as_utf8, bytes_of


@dataclass(frozen=True)
class Table:
    """Raw columns of one file, rows in file order.

    ``kinds`` holds RecBole's declared column types; ``faults`` what the format itself already refuses;
    ``left_out`` maps a reason to the rows ``[rows]`` that the layout's rules leave out, each row under one reason.
    """

    path: Path
    frame: pl.DataFrame
    line_of: Callable[[int], int]
    unit: str = "line"
    kinds: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    notes: tuple[str, ...] = ()
    has_blank_lines: bool = False
    left_out: Mapping[str, pl.Series] = field(default_factory=dict)

    @functools.cached_property
    def blank(self) -> pl.Series:
        """Which rows ``[rows]`` are empty lines of a delimited file; other formats have none."""
        if not self.has_blank_lines:
            return pl.repeat(False, self.frame.height, eager=True)
        return self.frame.select(pl.all_horizontal(pl.all().is_null())).to_series()

    def problem(self, row: int, message: str) -> Problem:
        """A fault at 0-based ``row``, with the place a person can look up."""
        return Problem(str(self.path), self.line_of(row), message, self.unit)


def read_table(path: Path, encoding: str | None = None, fallback: str | None = None) -> Table:
    """Read any known format, ``.gz`` looked through. Raises :class:`DataFileError` if it is no such file.

    ``encoding`` and ``fallback`` are those of :func:`~evaluation.readers.text.as_utf8`.
    """
    kind = format_of(path)
    data = bytes_of(path)
    if kind == "parquet":
        return _parquet(path, data)
    if kind == "xlsx":
        return _sheet(path, data)
    data = as_utf8(path, data, encoding, fallback)
    if kind == "jsonl":
        rows = jsonlines.parse(path, data)
        return Table(path, rows.frame, rows.lines.__getitem__, faults=rows.faults)
    parsed = delimited.parse(path, data, kind)
    return Table(path, parsed.frame, parsed.line_of, "line", parsed.kinds, parsed.faults, parsed.notes, True)


def _parquet(path: Path, data: bytes) -> Table:
    try:
        frame = pl.read_parquet(data)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataFileError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    if frame.is_empty():
        raise DataFileError(f"{path}: the file has no rows; it needs at least one")
    return Table(path, frame, lambda row: row + 1, unit="row")


def _sheet(path: Path, data: bytes) -> Table:
    """The first sheet of a workbook; its first row names the columns."""
    import fastexcel

    try:
        # As text, like every other format: a column such as stock codes mixes numbers and words.
        frame = fastexcel.read_excel(data).load_sheet(0, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise DataFileError(f"{path}: not a readable workbook ({str(error).splitlines()[0]})") from error
    if frame.is_empty():
        raise DataFileError(f"{path}: the first sheet has no rows; it needs a header and at least one")
    return Table(path, frame, lambda row: row + 2, unit="row", has_blank_lines=True)
