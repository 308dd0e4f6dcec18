"""MovieLens 100K as GroupLens ships it: ``u.data`` (tabs) and ``u.item`` (bars, Latin-1, one column per genre).

Source: the README of https://grouplens.org/datasets/movielens/100k/.
"""

from __future__ import annotations

import dataclasses

import polars as pl

from dyngraph.events import EventType
from evaluation.readers import headerless
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import beside
from evaluation.readers.tables import Table
from evaluation.readers.text import as_utf8, bytes_of

RATINGS = ("user id", "item id", "rating", "timestamp")
ABOUT_MOVIES = ("movie id", "movie title", "release date", "video release date", "IMDb URL")
GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)


class MovieLens100k:
    """Ratings with titles and genres; rows are not in time order."""

    name = "MovieLens 100K (u.data)"

    def recognises(self, file: DataFile) -> bool:
        """By the name and the number of fields."""
        return (file.stem, file.extension) == ("u", ".data") and file.first_line.count("\t") == len(RATINGS) - 1

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Both files."""
        ratings = headerless.parse(file.path, as_utf8(file.path, bytes_of(file.path), options.encoding), "\t", RATINGS)
        movies = beside(file.path, "u", (".item",))
        items = None
        if movies is not None:
            text = as_utf8(movies, bytes_of(movies), options.encoding, fallback="latin-1")
            items = _with_genres(headerless.parse(movies, text, "|", (*ABOUT_MOVIES, *GENRES)))
        return RawLog(
            ratings,
            items,
            roles={"user_id": "user id", "item_id": "item id"},
            item_roles={"item_id": "movie id", "title": "movie title", "categories": "genres"},
            event_type=EventType.RATING,
        )


def _with_genres(movies: Table) -> Table:
    """Flags as one text; the flag ``unknown`` says that there is no genre."""
    flagged = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES if genre != "unknown"]
    genres = pl.concat_str(flagged, separator="|", ignore_nulls=True).alias("genres")
    # Blank lines must stay blank in every column.
    genres = pl.when(pl.col("movie id").is_not_null()).then(genres).alias("genres")
    return dataclasses.replace(movies, frame=movies.frame.select(*ABOUT_MOVIES, genres))
