"""What items share by their catalogue entries, as one value per item and attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from models.lrd.values import category_of

PRICE_BANDS = 10


class Attributes(NamedTuple):
    """Attributes of the items of a log."""

    names: tuple[str, ...]
    """``[A]`` those that the catalogue speaks of: of ``category``, ``brand``, ``price band``."""
    values: NDArray[np.int64]
    """``[1 + items, A]`` the number of the item's value from 1, counted over all attributes; 0 for none."""
    distinct: int
    """V, values of all attributes together."""


def attributes_of(catalogue: Mapping[int, Item], n_items: int) -> Attributes:
    """Attributes by item row.

    An item's category is the narrowest level of its first path; where categories have no levels, as genres, it is all
    of them together. Price bands are tenths of the catalogue's prices. An attribute without any value is left out.
    """
    prices = np.array([item.price for item in catalogue.values() if item.price is not None])
    bounds = np.quantile(prices, np.arange(1, PRICE_BANDS) / PRICE_BANDS) if len(prices) else np.zeros(0)
    readers: dict[str, Callable[[Item], str]] = {
        "category": category_of,
        "brand": lambda item: item.brand or "",
        "price band": lambda item: "" if item.price is None else str(int(np.searchsorted(bounds, item.price, "right"))),
    }
    names, columns, count = [], [], 0
    for name, read in readers.items():
        numbers: dict[str, int] = {}
        column = np.zeros(n_items + 1, dtype=np.int64)
        for row in sorted(catalogue):
            if value := read(catalogue[row]):
                column[row] = count + numbers.setdefault(value, len(numbers) + 1)
        if numbers:
            names.append(name)
            columns.append(column)
            count += len(numbers)
    values = np.stack(columns, axis=1) if columns else np.zeros((n_items + 1, 0), dtype=np.int64)
    return Attributes(tuple(names), values, count)
