"""Complements and substitutes, counted from learned events alone.

The release takes them from the shop's "also bought" and "also viewed", which are undated and know the future. Here an
item's complements are what users took on the same day more often than popularity explains. Its substitutes share the
category and the complements with it, but no user has taken both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

MS_PER_DAY = 86_400_000
LONGEST_DAY = 20
"""Of a longer day the first events are counted: pairs grow with its square."""
MOST = 10
"""Links kept per item, the strongest."""
LEAST = 2
"""Users, or shared complements, that a link needs."""

Pairs = NDArray[np.int64]
"""``[n, 2]`` item rows, from and to."""


class Links(NamedTuple):
    """Item pairs by relation."""

    complements: Pairs
    substitutes: Pairs


def links_of(
    users: NDArray[np.int64], items: NDArray[np.int64], ts: NDArray[np.int64], category: NDArray[np.int64]
) -> Links:
    """Links from the learned events ``[N]``; ``category [1 + items]`` is 0 for none."""
    events = pl.DataFrame({"user": users, "item": items, "day": ts // MS_PER_DAY}).unique(maintain_order=True)
    complements = _complements(events)
    return Links(_pairs(complements), _pairs(_substitutes(events, complements, category)))


def _complements(events: pl.DataFrame) -> pl.LazyFrame:
    """Pairs of one user's day, by how much more often than the items' frequencies let expect."""
    days = events.lazy().filter(pl.int_range(pl.len()).over("user", "day") < LONGEST_DAY)
    pairs = (
        days.join(days, on=["user", "day"], suffix="_to")
        .filter(pl.col("item") != pl.col("item_to"))
        .group_by("item", "item_to")
        .agg(pl.col("user").n_unique().alias("users"))
        .filter(pl.col("users") >= LEAST)
    )
    often = events.lazy().group_by("item").agg(pl.col("user").n_unique().alias("often"))
    joined = pairs.join(often, on="item").join(often, left_on="item_to", right_on="item", suffix="_to")
    return _strongest(
        joined.with_columns(strength=pl.col("users") / (pl.col("often") * pl.col("often_to")).cast(pl.Float64).sqrt())
    )


def _substitutes(events: pl.DataFrame, complements: pl.LazyFrame, category: NDArray[np.int64]) -> pl.LazyFrame:
    """Pairs of one category with complements in common that no user has taken both of."""
    taken = events.lazy().select("user", "item").unique()
    kinds = pl.LazyFrame({"item": np.arange(len(category)), "kind": category}).filter(pl.col("kind") > 0)
    sides = complements.select("item", pl.col("item_to").alias("by")).join(kinds, on="item")
    alike = (
        sides.join(sides, on=["by", "kind"], suffix="_to")
        .filter(pl.col("item") != pl.col("item_to"))
        .group_by("item", "item_to")
        .agg(pl.len().alias("strength"))
        .filter(pl.col("strength") >= LEAST)
    )
    together = (
        alike.join(taken, on="item")
        .join(taken, left_on=["item_to", "user"], right_on=["item", "user"], how="semi")
        .select("item", "item_to")
        .unique()
    )
    return _strongest(alike.join(together, on=["item", "item_to"], how="anti"))


def _strongest(pairs: pl.LazyFrame) -> pl.LazyFrame:
    ordered = pairs.sort(["item", "strength", "item_to"], descending=[False, True, False])
    return ordered.filter(pl.int_range(pl.len()).over("item") < MOST)


def _pairs(frame: pl.LazyFrame) -> Pairs:
    columns = frame.select(pl.col("item", "item_to").cast(pl.Int64)).sort("item", "item_to").collect()
    return columns.to_numpy().reshape(-1, 2)
