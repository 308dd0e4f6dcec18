"""MovieLens since 20M, ``latest`` and 32M: ``ratings.csv`` and ``movies.csv`` with headers.

Source: the README of https://grouplens.org/datasets/movielens/32m/.
"""

from __future__ import annotations

import dataclasses

import polars as pl

from dyngraph.events import EventType
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import beside
from evaluation.readers.tables import Table, read_table

NO_GENRES = "(no genres listed)"


class MovieLensCsv:
    """Ratings with titles and genres; rows are in the order of users, not of time."""

    name = "MovieLens csv"

    def recognises(self, file: DataFile) -> bool:
        """By the name and the header."""
        return file.stem == "ratings" and {"userId", "movieId", "timestamp"} <= set(file.columns)

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Both files."""
        movies = beside(file.path, "movies", (".csv",))
        return RawLog(
            read_table(file.path, options.encoding),
            without_empty_genres(read_table(movies, options.encoding), "genres") if movies else None,
            roles={"user_id": "userId", "item_id": "movieId"},
            item_roles={"item_id": "movieId"},
            event_type=EventType.RATING,
        )


def without_empty_genres(movies: Table, column: str) -> Table:
    """``(no genres listed)`` is the absence of a category, not one that unrelated films share."""
    if column not in movies.frame.columns:
        return movies
    genres = pl.col(column).replace({NO_GENRES: None})
    return dataclasses.replace(movies, frame=movies.frame.with_columns(genres))
