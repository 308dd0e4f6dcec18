"""What a layout is: it knows its files when it sees them, and turns them into tables whose columns have roles."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import polars as pl

from dyngraph.events import EventType
from evaluation.readers.columns import INTERACTION_ROLES, REQUIRED_OF_INTERACTIONS, resolve
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import FORMATS, split_name
from evaluation.readers.tables import Table
from evaluation.readers.text import BOM, head_of


@dataclass(frozen=True)
class DataFile:
    """A file as far as a layout may look at it to recognise it: its name and its first bytes."""

    path: Path

    @property
    def stem(self) -> str:
        """The name without ``.gz`` and extension."""
        return split_name(self.path)[0]

    @property
    def extension(self) -> str:
        """In lower case, looking through ``.gz``."""
        return split_name(self.path)[1]

    @functools.cached_property
    def first_line(self) -> str:
        """The first line as text, broken bytes replaced; empty for what is no text."""
        return head_of(self.path).removeprefix(BOM).partition(b"\n")[0].decode(errors="replace").rstrip("\r")

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns as the header, the first JSON object or the schema gives them; else nothing."""
        match FORMATS.get(self.extension):
            case "jsonl":
                try:
                    return tuple(msgspec.json.decode(self.first_line, type=dict[str, object]))
                except msgspec.DecodeError:
                    return ()
            case "parquet":
                try:
                    return tuple(pl.read_parquet_schema(self.path))
                except (pl.exceptions.PolarsError, OSError):
                    return ()
            case "csv":
                return _split(self.first_line, max(",;\t", key=self.first_line.count))
            case "tsv":
                return _split(self.first_line, "\t")
            case _:
                return ()

    @property
    def is_log(self) -> bool:
        """Whether users, items and times can be told from the columns' names."""
        return set(REQUIRED_OF_INTERACTIONS) <= set(resolve(self.columns, INTERACTION_ROLES, {}))


@dataclass(frozen=True)
class RawLog:
    """Tables as their files hold them, and what the layout knows of them.

    ``roles`` and ``item_roles`` map roles to columns that :func:`~evaluation.readers.columns.resolve` would not find
    by name; ``event_type`` is what every row is where there is no such column. ``once``: the layout's rules keep the
    first of each (user, item, event type, time).
    """

    interactions: Table
    items: Table | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    item_roles: Mapping[str, str] = field(default_factory=dict)
    event_type: EventType | None = None
    once: bool = False
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """One way of publishing interactions."""

    @property
    def name(self) -> str:
        """What people call it, for messages and reports."""
        ...

    def recognises(self, file: DataFile) -> bool:
        """Whether ``file`` holds the interactions of such a set. Looks at the name first, as that is cheap."""
        ...

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """The tables, with the catalogue beside the file. Raises :class:`~evaluation.readers.DataFileError`."""
        ...


def _split(header: str, separator: str) -> tuple[str, ...]:
    return tuple(name.strip().strip('"') for name in header.split(separator))
