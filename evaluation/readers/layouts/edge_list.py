"""Edge lists without a header: ``source destination time [feature …]``, separated by one space or tab.

So come TGN's and DyGLib's processed files as text, and the temporal networks of SNAP. For protocols that need columns
and features at full speed there is :func:`~evaluation.readers.edges.read_edges`.
"""

from __future__ import annotations

from evaluation.readers import headerless
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.text import as_utf8, bytes_of

COLUMNS = ("source", "destination", "time")
EXTENSIONS = (".txt", ".edges", ".edgelist", ".el")


class EdgeList:
    """Sources are users, destinations are items."""

    name = "edge list"

    def recognises(self, file: DataFile) -> bool:
        """By the extension, and numbers in the first line."""
        fields = file.first_line.split(_separator(file.first_line))[: len(COLUMNS)]
        return file.extension in EXTENSIONS and len(fields) == len(COLUMNS) and all(map(_is_number, fields))

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """The first three fields."""
        text = as_utf8(file.path, bytes_of(file.path), options.encoding)
        separator = _separator(file.first_line)
        table = headerless.parse(file.path, text, separator, COLUMNS, more=True)
        notes = ["times may count from any moment: only differences matter"]
        extra = file.first_line.count(separator) + 1 - len(COLUMNS)
        if extra:
            notes.append(f"{extra} fields after the time are not read")
        return RawLog(table, roles={"user_id": "source", "item_id": "destination", "ts": "time"}, notes=tuple(notes))


def _separator(line: str) -> str:
    return "\t" if "\t" in line else " "


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
