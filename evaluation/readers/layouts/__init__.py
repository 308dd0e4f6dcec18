"""The layouts that data sets are published in, one module each.

A new one is a class that satisfies :class:`~evaluation.readers.layouts.layout.Layout`, and its line in ``LAYOUTS``.
"""

from __future__ import annotations

from pathlib import Path

from evaluation.readers.errors import DataFileError
from evaluation.readers.layouts.amazon import AmazonReviews
from evaluation.readers.layouts.edge_list import EdgeList
from evaluation.readers.layouts.generic import Interactions, NamedColumns
from evaluation.readers.layouts.jodie import Jodie
from evaluation.readers.layouts.layout import DataFile, Layout
from evaluation.readers.layouts.movielens_100k import MovieLens100k
from evaluation.readers.layouts.movielens_csv import MovieLensCsv
from evaluation.readers.layouts.movielens_dat import MovieLensDat
from evaluation.readers.layouts.online_retail import OnlineRetail
from evaluation.readers.layouts.recbole import RecBole
from evaluation.readers.layouts.tgb import Tgb
from evaluation.readers.sources import format_of, only

LAYOUTS: tuple[Layout, ...] = (
    Interactions(),
    RecBole(),
    MovieLensDat(),
    MovieLensCsv(),
    MovieLens100k(),
    AmazonReviews(),
    OnlineRetail(),
    Jodie(),
    Tgb(),
    EdgeList(),
    NamedColumns(),
)
"""In the order in which they are asked: the plainest last, as it would take what others know better."""

_SHARED_STEMS = ("interactions", "ratings", "u")
"""File names that say nothing of the data; the folder's name does."""


def find_layout(path: Path) -> tuple[Layout, DataFile]:
    """The layout of ``path``, and the file of interactions that it means.

    Raises :class:`DataFileError` when nothing or more than one thing fits.
    """
    if not path.exists():
        raise DataFileError(f"{path}: no such file or folder; check the path")
    if not path.is_dir():
        file = DataFile(path)
        for layout in LAYOUTS:
            if layout.recognises(file):
                return layout, file
        format_of(path)
        # A person who names a file means it: the missing columns are said when it is read.
        return LAYOUTS[-1], file
    files = [DataFile(entry) for entry in sorted(path.iterdir()) if entry.is_file() and entry.name[0] != "."]
    for layout in LAYOUTS:
        main = only(path, [file.path for file in files if layout.recognises(file)])
        if main is not None:
            return layout, DataFile(main)
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise DataFileError(
        f"{path}: the folder holds neither interactions.* nor a file of a known layout ({known}); name the file itself"
    )


def log_name(path: Path, file: DataFile) -> str:
    """What reports call the log: the folder's name where the file's says nothing."""
    if path.is_dir():
        return path.resolve().name
    return file.path.resolve().parent.name if file.stem in _SHARED_STEMS else file.stem
