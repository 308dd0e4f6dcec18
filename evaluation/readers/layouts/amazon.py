"""Amazon reviews as published in 2014, 2018 and 2023: JSON lines of reviews, and of metadata beside them.

Sources: https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html (2014; He and McAuley, WWW 2016),
https://nijianmo.github.io/amazon (2018), https://amazon-reviews-2023.github.io (2023; also as csv of ratings only).
Reviews run to gigabytes of text, so lines are decoded one by one into the four fields that a log needs.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import msgspec
import polars as pl

from dyngraph.events import EventType
from evaluation.readers.errors import DataFileError, shown
from evaluation.readers.faults import Fault
from evaluation.readers.layouts.amazon_items import read_items
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.layouts.python_literals import literal
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import only, split_name
from evaluation.readers.tables import Table, read_table
from evaluation.readers.text import as_utf8, lines_of

JSON = (".json", ".jsonl")
KEPT_FAULTS = 1_000
"""A file with more broken lines than this is of another kind; no use in collecting them all."""


class _Of2014(msgspec.Struct):
    """A review of 2014 or 2018."""

    reviewerID: str | None = None  # noqa: N815
    asin: str | None = None
    overall: float | None = None
    unixReviewTime: int | None = None  # noqa: N815


class _Of2023(msgspec.Struct):
    """A review of 2023; ``parent_asin`` is the product of all colours and sizes, which metadata speak of."""

    user_id: str | None = None
    parent_asin: str | None = None
    rating: float | None = None
    timestamp: int | None = None


class AmazonReviews:
    """Reviews as ratings; of the metadata, the items that were reviewed."""

    name = "Amazon reviews"

    def recognises(self, file: DataFile) -> bool:
        """By the fields of the first review."""
        return _era(file) is not None

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Reviews, then metadata."""
        era = _era(file)
        assert era is not None
        reviews = (
            _reviews(file.path, era, options.encoding, bar)
            if file.extension in JSON
            else read_table(file.path, options.encoding)
        )
        user, item, value, ts = era.__struct_fields__
        notes = ["histories are not read: a log holds its own"] if "history" in file.columns else []
        metadata = _metadata_beside(file)
        items = None
        if metadata is None:
            notes.append(f"there is no meta_{_category(file)}.* beside it: items have no text")
        else:
            bar.stage(f"reading {metadata.name}")
            wanted = set(reviews.frame[item].drop_nulls().unique().to_list())
            items = read_items(metadata, wanted, options.encoding, bar)
        return RawLog(
            reviews,
            items,
            roles={"user_id": user, "item_id": item, "value": value, "ts": ts},
            event_type=EventType.RATING,
            notes=tuple(notes),
        )


def _era(file: DataFile) -> type[_Of2014] | type[_Of2023] | None:
    if file.extension == ".csv":
        return _Of2023 if set(_Of2023.__struct_fields__) <= set(file.columns) else None
    if file.extension not in JSON:
        return None
    # A first line that is a Python literal, or cut off by the sniffed size, still names its fields.
    line = file.first_line
    for era in (_Of2014, _Of2023):
        if all(f'"{name}"' in line or f"'{name}'" in line for name in era.__struct_fields__):
            return era
    return None


def _category(file: DataFile) -> str:
    """``Beauty`` of ``reviews_Beauty_5.json.gz``, ``Beauty_5.json.gz`` or ``Beauty.train.csv.gz``."""
    return file.stem.removeprefix("reviews_").split(".")[0].removesuffix("_5")


def _metadata_beside(file: DataFile) -> Path | None:
    name = f"meta_{_category(file)}"
    return only(
        file.path.parent, [path for path in sorted(file.path.parent.glob(f"{name}.*")) if split_name(path)[1] in JSON]
    )


def _reviews(path: Path, era: type[_Of2014] | type[_Of2023], encoding: str | None, bar: Bar) -> Table:
    """Columns named as in the file, one row per line that is not blank."""
    decode = msgspec.json.Decoder(era).decode
    rows: list[_Of2014 | _Of2023] = []
    lines = array("q")
    faults: list[Fault] = []
    for number, line in lines_of(path, bar, encoding):
        try:
            review = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            as_utf8(path, line, first_line=number)
            try:
                review = msgspec.convert(literal(line), era)
            except ValueError:
                faults.append(Fault(len(rows), None, f"{shown(line.decode())} is no review ({error}); mend the line"))
                review = era()
        rows.append(review)
        lines.append(number)
        if len(faults) > KEPT_FAULTS:
            break
    if not rows:
        raise DataFileError(f"{path}: the file is empty; it needs at least one review")
    kinds = (pl.String, pl.String, pl.Float64, pl.Int64)
    columns = {
        name: pl.Series([getattr(row, name) for row in rows], dtype=kind)
        for name, kind in zip(era.__struct_fields__, kinds, strict=True)
    }
    return Table(path, pl.DataFrame(columns), lines.__getitem__, faults=faults)
