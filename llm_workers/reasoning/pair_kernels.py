"""What speaks for one item after another, over arrays: :class:`llm_workers.reasoning.evidence.Weigher` in bulk.

Items are codes into :class:`llm_workers.reasoning.coded.ItemArrays`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from llm_workers.reasoning.evidence import ALIKE, BRAND, CATEGORY, NEAR, NOT_ALIKE, WEIGHT


@numba.njit(cache=True)
def first(value: float, item: int, other_value: float, other: int, items: Any) -> bool:
    """Whether the one comes before the other: by value, then by id."""
    if value != other_value:
        return value > other_value
    return value > 0 and items.alphabet[item] < items.alphabet[other]


@numba.njit(cache=True)
def weigh(one: int, other: int, near_ids: Any, near_values: Any, items: Any, evidence: Any) -> None:
    """What speaks for ``other`` after ``one``, ``[4]`` by kind."""
    evidence[NEAR] = near(other, near_ids, near_values)
    brand = items.brand[one]
    evidence[BRAND] = WEIGHT[BRAND] * items.brand_value[brand] if brand and brand == items.brand[other] else 0.0
    evidence[CATEGORY] = WEIGHT[CATEGORY] * items.category_value[shared(one, other, items)]
    evidence[ALIKE] = WEIGHT[ALIKE] * alike(one, other, items)


@numba.njit(cache=True)
def near(item: int, ids: Any, values: Any) -> Any:
    """What an item has in a row of neighbours."""
    for slot in range(len(ids)):
        if values[slot] <= 0:
            return 0.0
        if ids[slot] == item:
            return values[slot]
    return 0.0


@numba.njit(cache=True)
def shared(one: int, other: int, items: Any) -> Any:
    """The narrowest category that both bear, 0 for none; of equals the last by name."""
    best, value = 0, 0.0
    for level in items.categories[one]:
        if level == 0:
            break
        for theirs in items.categories[other]:
            if theirs == level and items.category_value[level] > 0 and items.category_value[level] >= value:
                best, value = level, items.category_value[level]
    return best


@numba.njit(cache=True, fastmath=True)
def alike(one: int, other: int, items: Any) -> Any:
    """How alike two texts are, 0 to 1."""
    cosine = np.float32(0.0)
    for column in range(items.vectors.shape[1]):
        cosine += items.vectors[one, column] * items.vectors[other, column]
    return max(0.0, (cosine - NOT_ALIKE) / (1 - NOT_ALIKE))


@numba.njit(cache=True)
def likeness(one: int, other: int, items: Any) -> Any:
    """How well one item would do for the other, 0 to 1; equal texts apart."""
    brand = items.brand[one]
    same_brand = items.brand_value[brand] if brand and brand == items.brand[other] else 0.0
    return max(same_brand, items.category_value[shared(one, other, items)], alike(one, other, items))


@numba.njit(cache=True)
def concept_of(one: int, other: int, kind: int, items: Any) -> Any:
    """What a link by ``kind`` is about."""
    if kind == BRAND:
        return items.brand[other]
    common = shared(one, other, items)
    if common:
        return common
    brand = items.brand[one]
    return brand if brand and brand == items.brand[other] else items.own[other]


@numba.njit(cache=True)
def bears(item: int, about: int, items: Any) -> Any:
    """Whether a concept is the item's brand or one of its categories."""
    found = about == items.brand[item]
    for level in items.categories[item]:
        found = found or level == about
    return found


@numba.njit(cache=True)
def shares(item: int, path: Any, length: int, concept: Any, items: Any) -> bool:
    """Whether an item bears one of the chain's concepts."""
    for distance in range(length):
        about = concept[path[distance]]
        if about and bears(item, about, items):
            return True
    return False
