"""RecBole's atomic files: ``NAME.inter`` with ``NAME.item`` beside it, headers of ``name:type``.

Source: https://recbole.io/docs/user_guide/data/atomic_files.html. ``.kg`` and ``.link`` hold relations without times
and are not read; ``.user`` describes people, of whom a log keeps only ids.
"""

from __future__ import annotations

from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import beside
from evaluation.readers.tables import read_table


class RecBole:
    """``.inter`` and ``.item``."""

    name = "RecBole atomic files"

    def recognises(self, file: DataFile) -> bool:
        """By the extension."""
        return file.extension == ".inter"

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Both tables."""
        items = beside(file.path, file.stem, (".item",))
        return RawLog(
            read_table(file.path, options.encoding),
            read_table(items, options.encoding) if items else None,
        )
