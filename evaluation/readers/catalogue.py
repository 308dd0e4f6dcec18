"""The catalogue: titles, brands, categories, prices, from its own file or from the interactions' rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import polars as pl

from dyngraph.events import Item
from evaluation.readers.tables import Table
from evaluation.readers.tidy import Findings, numbers, scalars

LONGEST = {"title": 4_000, "brand": 200, "category": 200}
"""Characters that are kept of a text, as many as a message of the catalogue may carry."""

MOST_CATEGORIES = 64


@dataclass(frozen=True)
class Catalogue:
    """Items in order of first appearance, with what was found on the way."""

    items: list[Item]
    findings: Findings
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def noting(self, note: str) -> Catalogue:
        """The same with one note more; an empty one changes nothing."""
        return dataclasses.replace(self, notes=(*self.notes, note)) if note else self


def read_catalogue(findings: Findings, item_ids: pl.Series, order: pl.Series | None = None) -> Catalogue:
    """Items of a table, each with one value per field.

    ``item_ids`` ``[rows]`` are the tidied ids of ``findings.table``. Without ``order`` the table is a catalogue of its
    own: the last value given for a field holds, and a repeated id is counted as dropped. ``order`` are the rows of an
    interactions file in time order: there the first value holds, as a later one would be news from the future.
    """
    table, roles = findings.table, findings.roles
    columns = {"item_id": item_ids}
    for role in ("title", "brand"):
        if role in roles:
            columns[role] = _text(scalars(findings, role), LONGEST[role])
    if "categories" in roles:
        columns["categories"] = _categories(table, roles["categories"])
    if "price" in roles:
        columns["price"] = numbers(findings, "price")
    frame = pl.DataFrame(columns)
    frame = frame.filter(~findings.ignored) if order is None else frame[order]
    given = pl.all().drop_nulls()
    merged = frame.group_by("item_id", maintain_order=True).agg(given.last() if order is None else given.first())
    items = [
        Item(
            item_id=row["item_id"],
            title=row.get("title") or "",
            brand=row.get("brand"),
            categories=tuple(row.get("categories") or ()),
            price=row.get("price"),
        )
        for row in merged.iter_rows(named=True)
        if row["item_id"]
    ]
    repeated = 0 if order is not None else frame.height - merged.height
    return Catalogue(items, findings, {"catalogue rows of an item given again": repeated} if repeated else {})


def _text(column: pl.Series, longest: int) -> pl.Series:
    """Stripped text, runs of white space as one blank, cut at ``longest``, null where empty."""
    text = column.cast(pl.String, strict=False).str.replace_all(r"\s+", " ").str.strip_chars()
    text = text.str.head(longest)
    return text.set(text == "", None)


def _categories(table: Table, column: str) -> pl.Series:
    """Lists of categories. A path (``Makeup > Nails``) stays one category.

    Parquet lists are taken as they are, RecBole's ``token_seq`` is split at blanks, other text at ``|``.
    """
    raw = table.frame[column]
    if raw.dtype == pl.List(pl.String):
        lists = raw
    else:
        mark = " " if table.kinds.get(column, "").endswith("_seq") else "|"
        lists = raw.cast(pl.String, strict=False).str.split(mark)
    cleaned = lists.list.head(MOST_CATEGORIES)
    cleaned = cleaned.list.eval(pl.element().str.strip_chars().str.head(LONGEST["category"])).list.eval(
        pl.element().filter(pl.element() != "")
    )
    return cleaned.set(cleaned.list.len() == 0, None)
