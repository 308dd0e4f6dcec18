"""Lines of fields without a header, as older research data is published: MovieLens ``.dat``, edge lists.

Separators may be longer than one character (``::``), which polars' CSV parser does not take, so lines are split as
strings; that is vectorised too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from evaluation.readers.faults import Fault
from evaluation.readers.tables import Table

_REST = "the rest of the line"


def parse(path: Path, data: bytes, separator: str, columns: Sequence[str], *, more: bool = False) -> Table:
    """Split UTF-8 ``data`` into text ``columns``. Without ``more`` a line must have no field after them.

    Rows with another number of fields become faults; blank lines are rows of nulls.
    """
    lines = pl.Series("line", data.decode().removesuffix("\n").split("\n")).str.strip_suffix("\r")
    n = len(columns)
    fields = lines.str.splitn(separator, n + 1).struct.rename_fields([*columns, _REST]).struct.unnest()
    blank = lines.str.strip_chars() == ""
    short = fields[columns[-1]].is_null() & ~blank
    long = fields[_REST].is_not_null() & (not more)
    expected = separator.join(columns)
    faults = [
        Fault(row, None, f"{count} fields where {'at least ' if more else ''}{n} stand: {expected}; mend the row")
        for row, count in _counted(lines, separator, short | long)
    ]
    frame = fields.select(pl.when(~blank).then(pl.col(column)).alias(column) for column in columns)
    return Table(path, frame, lambda row: row + 1, faults=faults, has_blank_lines=True)


def _counted(lines: pl.Series, separator: str, bad: pl.Series) -> list[tuple[int, int]]:
    """Rows of ``bad`` with their number of fields."""
    return [(row, lines[row].count(separator) + 1) for row in bad.arg_true()]
