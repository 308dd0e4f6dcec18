"""UCI's "Online Retail" and "Online Retail II": a ledger of invoice lines, as xlsx or csv.

Source: https://archive.ics.uci.edu/dataset/352. An invoice number that begins with C is a cancellation, with A a
booking correction. What is kept: lines of a known customer on an ordinary invoice with a positive quantity, and the
first of each (customer, stock code, time). Postage and the like stay, as they do in published comparisons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import polars as pl

from dyngraph.events import EventType
from evaluation.readers.layouts.layout import DataFile, RawLog
from evaluation.readers.options import ReadOptions
from evaluation.readers.progress import Bar
from evaluation.readers.sources import FORMATS
from evaluation.readers.tables import Table, read_table

EDITIONS: tuple[Mapping[str, str], ...] = (
    {"invoice": "InvoiceNo", "price": "UnitPrice", "customer": "CustomerID"},
    {"invoice": "Invoice", "price": "Price", "customer": "Customer ID"},
)
"""What the two editions call the columns that they call differently."""


class OnlineRetail:
    """Lines of the ledger as purchases, with the first description and price of each item."""

    name = "UCI Online Retail"

    def recognises(self, file: DataFile) -> bool:
        """By the columns; a workbook by its name, as opening it takes seconds."""
        if file.extension == ".xlsx":
            return file.stem.lower().replace(" ", "_").startswith("online_retail")
        return file.extension in FORMATS and _edition(file.columns) is not None

    def read(self, file: DataFile, options: ReadOptions, bar: Bar) -> RawLog:
        """The ledger, with the lines that are left out marked by reason."""
        table = read_table(file.path, options.encoding)
        names = _edition(table.frame.columns)
        if names is None:
            # Only a workbook gets here, by its name alone; its columns say what is missing, if anything is.
            return RawLog(table)
        return RawLog(
            dataclasses.replace(table, left_out=_left_out(table, names)),
            roles={
                "user_id": names["customer"],
                "item_id": "StockCode",
                "ts": "InvoiceDate",
                "value": "Quantity",
                "title": "Description",
                "price": names["price"],
            },
            event_type=EventType.PURCHASE,
            once=True,
        )


def _edition(columns: tuple[str, ...] | list[str]) -> Mapping[str, str] | None:
    shared = {"StockCode", "Description", "Quantity", "InvoiceDate"}
    return next((names for names in EDITIONS if shared | set(names.values()) <= set(columns)), None)


def _left_out(table: Table, names: Mapping[str, str]) -> dict[str, pl.Series]:
    """Reason to rows ``[rows]``; a line counts under the first reason that fits."""
    invoice = pl.col(names["invoice"]).cast(pl.String).str.strip_chars().str.head(1).fill_null("")
    customer = pl.col(names["customer"]).cast(pl.String).str.strip_chars().fill_null("")
    rules = {
        "lines without a customer": customer == "",
        "lines of cancelled invoices (C…)": invoice == "C",
        "lines of booking corrections (A…)": invoice == "A",
        "lines with a quantity of 0 or less": pl.col("Quantity").cast(pl.Float64, strict=False) <= 0,
    }
    reason = pl.lit(None, dtype=pl.String)
    for name, rule in reversed(rules.items()):
        reason = pl.when(rule).then(pl.lit(name)).otherwise(reason)
    found = table.frame.select(reason.alias("reason")).to_series().set(table.blank, None)
    return {name: (found == name).fill_null(False) for name in rules if (found == name).any()}
