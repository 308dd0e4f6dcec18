"""Metadata of Amazon's products: which of a dozen shapes a title, a brand, a category or a price may have.

A file speaks of every product of a category, up to a hundred times those that were reviewed often. Decoding is what
costs, so a line is decoded only if it names a wanted product.
"""

from __future__ import annotations

import html
import re
from array import array
from collections.abc import Set
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from evaluation.readers.errors import shown
from evaluation.readers.faults import Fault
from evaluation.readers.layouts.python_literals import literal
from evaluation.readers.progress import Bar
from evaluation.readers.tables import Table
from evaluation.readers.text import as_utf8, lines_of

SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "brand": pl.String(),
        "categories": pl.List(pl.String()),
        "price": pl.Float64(),
    }
)
LEVELS = " > "
"""Between the levels of a category's path, as in the rest of our catalogues."""

# Begins with plain letters, which makes the search five times faster; `parent_asin` ends in them too.
_ASIN = re.compile(rb"""asin['"]\s*:\s*['"]([^'"]+)""")
_PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")
_MARKUP = re.compile(r"<\w+[ >]|getTime\(\)")


def read_items(path: Path, wanted: Set[str], encoding: str | None, bar: Bar) -> Table:
    """The products of ``wanted`` as rows of :data:`SCHEMA`, with notes on what was passed over.

    2014: Python literals, ``categories`` a list of paths. 2018: JSON, ``category`` one path, prices as text. 2023:
    ``parent_asin``, ``categories`` one path, the brand under ``details`` or as ``store``.
    """
    names = {asin.encode() for asin in wanted}
    rows: list[dict[str, Any]] = []
    lines = array("q")
    faults: list[Fault] = []
    passed_over = unpriced = garbled = 0
    for number, line in lines_of(path, bar, encoding):
        if names.isdisjoint(_ASIN.findall(line)):
            passed_over += 1
            continue
        product: dict[str, Any] = {}
        try:
            product = _decoded(path, number, line)
        except ValueError as error:
            faults.append(Fault(len(rows), None, f"{shown(line.decode())} is no product ({error}); mend the line"))
        row = _row(product)
        if row["item_id"] is not None and row["item_id"] not in wanted:
            passed_over += 1
            continue
        rows.append(row)
        lines.append(number)
        unpriced += product.get("price") not in (None, "") and row["price"] is None
        garbled += bool(product.get("title")) and row["title"] is None
    notes = [
        f"{count:,} {what}"
        for count, what in (
            (passed_over, "products of the metadata have no interactions: not read"),
            (unpriced, "prices of the metadata are no single number: left empty"),
            (garbled, "titles of the metadata are pieces of a web page: left empty"),
        )
        if count
    ]
    return Table(path, pl.DataFrame(rows, schema=SCHEMA), lines.__getitem__, faults=faults, notes=tuple(notes))


def _decoded(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        as_utf8(path, line, first_line=number)
        return msgspec.convert(literal(line), dict[str, Any])


def _row(product: dict[str, Any]) -> dict[str, Any]:
    details = product.get("details")
    brand = product.get("brand") or (details.get("Brand") if isinstance(details, dict) else None)
    return {
        "item_id": _text(product.get("parent_asin") or product.get("asin")),
        "title": _words(product.get("title")),
        "brand": _words(brand or product.get("store")),
        "categories": _categories(product.get("categories") or product.get("category")),
        "price": _price(product.get("price")),
    }


def _categories(value: object) -> list[str]:
    """Paths as texts: 2014 gives a list of paths, later years one path."""
    if not isinstance(value, list) or not value:
        return []
    paths = value if isinstance(value[0], list) else [value]
    joined = (LEVELS.join(filter(None, map(_words, path))) for path in paths)
    return [path for path in joined if path]


def _words(value: object) -> str | None:
    """Text with HTML's entities decoded; nothing for what is markup or script."""
    text = _text(value)
    return None if text is None or _MARKUP.search(text) else html.unescape(text).strip() or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _price(value: object) -> float | None:
    """``12.99``, ``"$1,299.00"``; nothing for ranges, ``from 9.99`` and pieces of a web page."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1].replace(",", "")) if match else None
