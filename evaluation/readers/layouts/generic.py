"""Tables whose columns say what they are: CSV, TSV, JSON lines, Parquet, xlsx."""

from __future__ import annotations

from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import FORMATS, beside
from evaluation.readers.tables import read_table


class Interactions:
    """``interactions.*``, with the catalogue in ``items.*``: the layout to choose for data of one's own."""

    name = "interactions.* with items.*"

    def recognises(self, file: DataFile) -> bool:
        """By the name."""
        return file.stem == "interactions" and file.extension in FORMATS

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Both tables."""
        items = beside(file.path, "items")
        return RawLog(
            read_table(file.path, options.encoding),
            read_table(items, options.encoding) if items else None,
        )


class NamedColumns:
    """Any other table with columns for user, item and time."""

    name = "a table with columns for user, item and time"

    def recognises(self, file: DataFile) -> bool:
        """By the columns' names."""
        return file.extension in FORMATS and file.is_log

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """The table; a catalogue, if any, stands in the same rows."""
        return RawLog(read_table(file.path, options.encoding))
