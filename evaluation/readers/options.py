"""What a reader may be told about a file, in one frozen object that every layout is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadOptions:
    """How to read. The defaults suit a file that names its columns in a usual way."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    """Role to column, for columns that are called unusually."""
    tz: str | None = None
    """Zone of times that name none; None: UTC."""
    encoding: str | None = None
    """Of text files; None: UTF-8, or what the layout prescribes."""
    assume_sorted: bool = False
    """Refuse a row that is earlier than the one before it, instead of sorting."""
    drop_duplicates: bool = False
    """Keep the first of the rows that say the same (user, item, event type, time)."""
