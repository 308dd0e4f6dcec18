"""JODIE's csv, also TGB's ``tgbl-wiki``: four columns, then as many features as there are, under one name.

Source: https://snap.stanford.edu/jodie/ (Kumar, Zhang and Leskovec, KDD 2019). Users and items are numbered from 0
each. Times count from the first event. ``state_label`` is the answer to another task and is never read.
"""

from __future__ import annotations

import polars as pl

from evaluation.readers.errors import DataFileError
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.tables import Table

COLUMNS = ("user_id", "item_id", "timestamp")
HEADER = (*COLUMNS, "state_label", "comma_separated_list_of_features")


class Jodie:
    """Wikipedia, Reddit, MOOC and LastFM."""

    name = "JODIE csv"

    def recognises(self, file: DataFile) -> bool:
        """By the header."""
        return file.extension == ".csv" and file.columns == HEADER

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """Who, what and when; half a gigabyte of features is skipped while parsing."""
        try:
            frame = pl.read_csv(
                file.path,
                has_header=False,
                skip_rows=1,
                columns=list(range(len(COLUMNS))),
                infer_schema=False,
                quote_char=None,
                truncate_ragged_lines=True,
            )
        except pl.exceptions.NoDataError as error:
            raise DataFileError(f"{file.path}: there is a header but no row; at least one is needed") from error
        except pl.exceptions.ColumnNotFoundError as error:
            raise DataFileError(f"{file.path}, line 2: fewer than {len(COLUMNS)} fields; mend the row") from error
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataFileError(f"{file.path}: cannot be parsed ({str(error).splitlines()[0]})") from error
        frame.columns = COLUMNS
        table = Table(file.path, frame, lambda row: row + 2, has_blank_lines=True)
        return RawLog(table, notes=("state labels and features are not read", "times count from the first event"))
