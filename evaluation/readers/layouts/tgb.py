"""TGB's csv of ``tgbl-review``, ``-coin``, ``-comment`` and ``-flight``: time first, then source and destination.

Source: https://tgb.complexdatalab.com (Huang et al., NeurIPS 2023). ``tgbl-wiki`` has JODIE's header.
"""

from __future__ import annotations

from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.tables import read_table

TIMES = ("ts", "time", "timestamp", "day")
SOURCES = ("src", "source", "u")
DESTINATIONS = ("dst", "destination", "i")


class Tgb:
    """Edges with one column each for time, source and destination, whatever follows."""

    name = "TGB csv"

    def recognises(self, file: DataFile) -> bool:
        """By the header: the columns' names differ among the sets, so all three must be there."""
        return file.extension == ".csv" and len(_roles(file.columns)) == 3

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """The table."""
        return RawLog(read_table(file.path, options.encoding), roles=_roles(file.columns))


def _roles(columns: tuple[str, ...]) -> dict[str, str]:
    wanted = {"ts": TIMES, "user_id": SOURCES, "item_id": DESTINATIONS}
    found = {role: [column for column in columns if column in names] for role, names in wanted.items()}
    return {role: hits[0] for role, hits in found.items() if hits}
