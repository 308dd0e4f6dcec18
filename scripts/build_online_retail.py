"""Build the bundled log from UCI "Online Retail".

The raw file is a ledger, not a log of what customers did to goods: it holds postage, bank charges, guests and
booking corrections. This script keeps what a recommender may learn from, counts everything it leaves out,
and stops at a code it does not know rather than guess.

Run: ``python scripts/build_online_retail.py SRC OUT`` with SRC the ledger as CSV (``.gz`` too) and OUT the
folder to write ``interactions.parquet``, ``items.parquet`` and ``SUMMARY.json`` to.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import polars as pl

NOT_GOODS = {
    "POST": "postage",
    "DOT": "postage",
    "C2": "carriage",
    "23444": "carriage",
    "23574": "packing charge",
    "BANK CHARGES": "bank charge",
    "AMAZONFEE": "marketplace fee",
    "D": "discount",
    "M": "manual booking",
    "m": "manual booking",
    "B": "bad debt adjustment",
    "S": "sample",
    "CRUK": "charity commission",
    "PADS": "filling pads booked at 0.001",
}
"""Stock codes that are no goods, with the reason they are counted under; vouchers (``gift_…``) join them."""

GOODS = r"^(\d{5}[A-Za-z]{0,2}|DCGS.*)$"
"""What a code of goods looks like; ``DCGS`` codes were sold to guests only."""

log = logging.getLogger("build_online_retail")


def build(source: Path, out: Path) -> dict[str, object]:
    """Write the tables and the summary, and return it. Raises ValueError for an unknown stock code."""
    ledger = pl.read_csv(source, infer_schema=False).with_columns(
        pl.col("Quantity").cast(pl.Int32),
        pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("ms").alias("ts_ms"),
        pl.col("CustomerID").str.replace(r"\.0$", "").alias("user_id"),
        pl.col("StockCode").alias("item_id"),
        pl.col("InvoiceNo").str.slice(0, 1).alias("mark"),
        _reason("StockCode").alias("reason"),
    )
    unsorted = pl.col("reason").is_null() & ~pl.col("item_id").str.contains(GOODS)
    strange = sorted(ledger.filter(unsorted)["item_id"].unique())
    if strange:
        raise ValueError(f"{source}: stock codes {strange} are unknown; add them to NOT_GOODS or to GOODS")
    goods, dropped = _goods_of_customers(ledger)
    events = _events(goods)
    dropped["repeated (user, item, time, type)"] = goods.height - events.height
    items = _items(goods)
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in (("interactions", events), ("items", items)):
        frame.write_parquet(out / f"{name}.parquet", compression="zstd", compression_level=22)
    summary = _summary(ledger.height, events, items, dropped)
    (out / "SUMMARY.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _reason(column: str) -> pl.Expr:
    voucher = pl.when(pl.col(column).str.starts_with("gift_")).then(pl.lit("gift voucher"))
    return voucher.otherwise(pl.col(column).replace_strict(NOT_GOODS, default=None, return_dtype=pl.String))


def _goods_of_customers(ledger: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Lines of known customers that move goods; any other is counted under the first reason that fits."""
    why = (
        pl.when(pl.col("user_id").is_null())
        .then(pl.lit("no customer"))
        .when(pl.col("reason").is_not_null())
        .then(pl.format("no goods: {}", "reason"))
        .when(pl.col("mark") == "A")
        .then(pl.lit("bad debt adjustment"))
        .when((pl.col("Quantity") > 0) == (pl.col("mark") == "C"))
        .then(pl.lit("quantity contradicts the invoice's kind"))
    )
    marked = ledger.with_columns(why.alias("why"))
    counts = marked["why"].drop_nulls().value_counts().sort(["count", "why"], descending=[True, False])
    return marked.filter(pl.col("why").is_null()), dict(counts.iter_rows())


def _events(goods: pl.DataFrame) -> pl.DataFrame:
    """Purchases and removals in time order; a customer's lines of one minute stand where the first stood."""
    moment = ["ts_ms", "user_id"]
    cancelled = pl.col("mark") == "C"
    return (
        goods.select(
            "user_id",
            "item_id",
            pl.when(cancelled).then(pl.lit("remove")).otherwise(pl.lit("purchase")).alias("event_type"),
            "ts_ms",
            pl.col("Quantity").abs().alias("value"),
        )
        .unique(["user_id", "item_id", "ts_ms", "event_type"], keep="first", maintain_order=True)
        .with_row_index("row")
        .with_columns(pl.col("row").min().over(moment).alias("group"))
        .sort("ts_ms", "group", "row")
        .drop("row", "group")
    )


def _items(goods: pl.DataFrame) -> pl.DataFrame:
    """The latest description of each item, and shouting lowered."""
    title = pl.col("Description").str.replace_all(r"\s+", " ").str.strip_chars()
    return (
        goods.sort("ts_ms", maintain_order=True)
        .select("item_id", title.alias("title"))
        .group_by("item_id")
        .agg(pl.col("title").drop_nulls().last())
        .sort("item_id")
        .with_columns(pl.col("title").map_elements(_lowered, return_dtype=pl.String))
    )


def _lowered(title: str) -> str:
    """``SET/6 CHILDREN'S T-LIGHTS 9CM`` becomes ``Set/6 Children's T-Lights 9cm``; mixed case stays."""
    units_lowered = re.sub(r"(?:(?<=\d)|(?<=\d'))[A-Z]+", lambda run: run[0].lower(), title)
    return re.sub(r"(?<![A-Za-z])[A-Z][A-Z']+", lambda run: run[0].capitalize(), units_lowered)


def _summary(lines: int, events: pl.DataFrame, items: pl.DataFrame, dropped: dict[str, int]) -> dict[str, object]:
    types = dict(events["event_type"].value_counts(sort=True).iter_rows())
    return {
        "lines": lines,
        "events": events.height,
        "event_types": types,
        "users": events["user_id"].n_unique(),
        "items": items.height,
        "first_ts_ms": events["ts_ms"].min(),
        "last_ts_ms": events["ts_ms"].max(),
        "dropped": dropped,
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) != 3:
        log.error("usage: python scripts/build_online_retail.py SRC OUT")
        sys.exit(2)
    log.info("%s", json.dumps(build(Path(sys.argv[1]), Path(sys.argv[2])), indent=2))
