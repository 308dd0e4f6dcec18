"""CSV, TSV and RecBole atomic files.

polars parses; what it does silently or without a place (short rows, long rows, open quotes) is found out by a
second, slower walk over the lines, made only when something looks wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from evaluation.readers.errors import DataFileError
from evaluation.readers.faults import Fault


@dataclass(frozen=True)
class Delimited:
    """Text columns; ``line_of`` maps a 0-based row to its 1-based line."""

    frame: pl.DataFrame
    line_of: Callable[[int], int]
    kinds: dict[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Walk:
    """Per row of the file (header excluded): the line it starts on, and its number of fields."""

    starts: list[int]
    widths: list[int]


def parse(path: Path, data: bytes, kind: str) -> Delimited:
    """Parse UTF-8 ``data``. ``kind``: ``csv`` (quotes understood), ``tsv`` or ``recbole`` (no quoting).

    A ``.csv`` may also be separated by semicolons or tabs: the header decides. Raises :class:`DataFileError`.
    """
    first = data.split(b"\n", 1)[0].decode().rstrip("\r")
    if not first.strip():
        raise DataFileError(f"{path}, line 1: the line is empty; the header must come first")
    separator = max(",;\t", key=first.count) if kind == "csv" else "\t"
    notes = () if separator == "," or kind != "csv" else (f"fields are separated by {separator!r}",)
    quoted = kind == "csv" and b'"' in data
    layout = functools.cache(lambda: _walk(path, data, separator, quoted))
    try:
        header = _parsed(data, separator, quoted, truncate=True, header_only=True).row(0)
        frame, overlong = _parsed(data, separator, quoted, truncate=False), False
    except pl.exceptions.PolarsError:
        layout()  # an open quote is named there, with its line
        try:
            header = _parsed(data, separator, quoted, truncate=True, header_only=True).row(0)
            frame, overlong = _parsed(data, separator, quoted, truncate=True), True
        except pl.exceptions.PolarsError as error:
            raise DataFileError(f"{path}: cannot be parsed ({str(error).splitlines()[0]})") from error
    if frame.is_empty():
        raise DataFileError(f"{path}: there is a header but no row; at least one is needed")
    names, kinds = _names(path, header, typed=kind == "recbole")
    if len(names) != frame.width:
        raise DataFileError(f"{path}, line 1: the header cannot be parsed; check its quotes")
    frame.columns = names

    def walk() -> _Walk:
        if len(layout().starts) != frame.height:
            raise DataFileError(f"{path}: rows cannot be told apart; double the quotes inside quoted fields")
        return layout()

    line_of = (lambda row: walk().starts[row]) if quoted else (lambda row: row + 2)
    return Delimited(frame, line_of, kinds, tuple(_misshapen(frame, walk, overlong)), notes)


def _parsed(data: bytes, separator: str, quoted: bool, truncate: bool, header_only: bool = False) -> pl.DataFrame:
    return pl.read_csv(
        data,
        separator=separator,
        quote_char='"' if quoted else None,
        infer_schema=False,
        truncate_ragged_lines=truncate,
        has_header=not header_only,
        n_rows=1 if header_only else None,
    )


def _names(path: Path, header: Sequence[str | None], typed: bool) -> tuple[list[str], dict[str, str]]:
    """Column names, and RecBole's declared types (``user_id:token``) where ``typed``."""
    fields = [(name or "").strip() for name in header]
    pairs = [name.rpartition(":") if typed and ":" in name else (name, "", "") for name in fields]
    names = [name for name, _, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataFileError(f"{path}, line 1: column {twice[0]!r} stands there twice; rename one")
    return names, {name: kind for name, _, kind in pairs if kind}


def _misshapen(frame: pl.DataFrame, walk: Callable[[], _Walk], overlong: bool) -> list[Fault]:
    """Rows with too few or too many fields; polars fills the former with nulls, so only those need a look."""
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if not overlong and not (frame.to_series(-1).is_null() & ~blank).any():
        return []
    is_blank = blank.to_list()
    return [
        Fault(row, None, f"{width} fields where the header has {frame.width}; mend or remove the row")
        for row, width in enumerate(walk().widths)
        if width != frame.width and not is_blank[row]
    ]


def _walk(path: Path, data: bytes, separator: str, quoted: bool) -> _Walk:
    """Tell rows and fields apart by hand: an odd number of quotes so far means that we are inside a field."""
    mark = separator.encode()
    starts, widths, inside = [], [], False
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        pieces = line.split(b'"') if quoted else [line]
        if not inside:
            starts.append(number)
            widths.append(1)
        # Pieces alternate between outside and inside of quotes; only separators outside count.
        widths[-1] += sum(piece.count(mark) for piece in pieces[int(inside) :: 2])
        inside ^= len(pieces) % 2 == 0
    if inside:
        raise DataFileError(
            f"{path}, line {starts[-1]}: a quote in the row that starts here is never closed; "
            "close it, or double the quotes inside a field"
        )
    return _Walk(starts[1:], widths[1:])
