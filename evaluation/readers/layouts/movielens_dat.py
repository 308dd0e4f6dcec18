"""MovieLens 1M and 10M as GroupLens ships them: ``ratings.dat`` and ``movies.dat``, fields separated by ``::``.

Source: the README of https://grouplens.org/datasets/movielens/1m/. Titles of 1M are Latin-1, those of 10M UTF-8.
"""

from __future__ import annotations

from dyngraph.events import EventType
from evaluation.readers import headerless
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.layouts.movielens_csv import without_empty_genres
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import beside
from evaluation.readers.text import as_utf8, bytes_of

RATINGS = ("UserID", "MovieID", "Rating", "Timestamp")
MOVIES = ("MovieID", "Title", "Genres")


class MovieLensDat:
    """Ratings with titles and genres; rows are not in time order."""

    name = "MovieLens .dat"

    def recognises(self, file: DataFile) -> bool:
        """By the name and the separator."""
        return (file.stem, file.extension) == ("ratings", ".dat") and "::" in file.first_line

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Both files."""
        ratings = headerless.parse(file.path, as_utf8(file.path, bytes_of(file.path), options.encoding), "::", RATINGS)
        movies = beside(file.path, "movies", (".dat",))
        items = None
        if movies is not None:
            text = as_utf8(movies, bytes_of(movies), options.encoding, fallback="latin-1")
            items = without_empty_genres(headerless.parse(movies, text, "::", MOVIES), "Genres")
        return RawLog(
            ratings,
            items,
            roles={"user_id": "UserID", "item_id": "MovieID", "ts": "Timestamp", "value": "Rating"},
            item_roles={"item_id": "MovieID", "title": "Title", "categories": "Genres"},
            event_type=EventType.RATING,
        )
