"""Relation tables between versions: whose slot is whose, and which pairs of items tell what a relation is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from dyngraph.relations import Pair, RelationTable

USAGE_WEIGHT = 0.25
"""What equal usage counts beside a cosine of 1."""
SAME = 0.5
"""Cosine from which a slot is taken for the same relation, and keeps its name."""
PER_ITEM = 2
"""Most of a relation's strongest pairs that one item may be in."""


def match_slots(old: RelationTable, new: RelationTable) -> list[int]:
    """For each slot of ``old`` the place in ``new`` of the slot that stands for it; no place comes twice.

    The assignment is the one with the largest sum of embeddings' cosines, and of how near the usages are. Raises
    ValueError for tables of another K or another width: their slots have nothing to do with each other.
    """
    if len(old.slots) != len(new.slots):
        raise ValueError(
            f"relation tables of {len(old.slots)} and {len(new.slots)} slots cannot be matched; "
            "a change of K begins a new numbering"
        )
    if old.dim != new.dim:
        raise ValueError(f"relation embeddings of {old.dim} and {new.dim} numbers cannot be matched; the model changed")
    usage, used = np.array(old.usage), np.array(new.usage)
    total = usage[:, None] + used[None, :]
    near = 1 - np.abs(usage[:, None] - used[None, :]) / np.where(total > 0, total, 1)
    return assignment(-(cosines(old, new) + USAGE_WEIGHT * near))


def aligned(old: RelationTable, new: RelationTable) -> RelationTable:
    """``new`` with its slots in the places of the old ones that they stand for.

    A slot without a name keeps that of the old one, unless its embedding has moved away from it. Raises as
    :func:`match_slots`.
    """
    places, similar = match_slots(old, new), cosines(old, new)
    slots = []
    for number, place in enumerate(places):
        slot = new.slots[place]
        if not slot.name and similar[number, place] >= SAME:
            slot = msgspec.structs.replace(slot, name=old.slots[number].name)
        slots.append(slot)
    return msgspec.structs.replace(new, slots=tuple(slots))


def cosines(old: RelationTable, new: RelationTable) -> NDArray[np.float64]:
    """``[K, K]`` between embeddings, old ones down; 0 for an embedding of length 0."""
    first, second = (table.embeddings().astype(np.float64) for table in (old, new))
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)[None, :]
    products: NDArray[np.float64] = first @ second.T
    return products / np.where(lengths > 0, lengths, 1)


def assignment(cost: NDArray[np.float64]) -> list[int]:
    """For each row of ``[K, K]`` its column, so that the sum of costs is least (Kuhn 1955, by shortest paths)."""
    size = len(cost)
    by_row, by_column = np.zeros(size), np.zeros(size + 1)
    owner = np.full(size + 1, -1)
    """Of each column; the last one is where a row starts from."""
    for row in range(size):
        owner[size], column = row, size
        shortest, came_from = np.full(size, np.inf), np.full(size, size)
        done = np.zeros(size + 1, dtype=bool)
        while owner[column] >= 0:
            done[column] = True
            here = owner[column]
            open_ = np.flatnonzero(~done[:size])
            reach = cost[here, open_] - by_row[here] - by_column[open_]
            nearer = reach < shortest[open_]
            shortest[open_[nearer]], came_from[open_[nearer]] = reach[nearer], column
            following = int(open_[shortest[open_].argmin()])
            step = shortest[following]
            by_row[owner[done]] += step
            by_column[done] -= step
            shortest[open_] -= step
            column = following
        while column != size:
            owner[column] = owner[came_from[column]]
            column = int(came_from[column])
    columns = [0] * size
    for column, row in enumerate(owner[:size].tolist()):
        columns[row] = column
    return columns


def strongest_pairs(
    posterior: NDArray[np.float64], pairs: Sequence[tuple[str, str]], most: int
) -> list[tuple[Pair, ...]]:
    """For each relation up to ``most`` pairs that it is most surely of.

    ``posterior [P, K]`` of pairs of a past item's id and a candidate's. A pair is kept in one direction, and an item is
    in at most two pairs, so that one popular item does not tell the whole story. Ties go by the ids.
    """
    if posterior.shape[0] != len(pairs) or posterior.ndim != 2:
        raise ValueError(f"posterior {posterior.shape} must be [pairs, relations] of {len(pairs)} pairs")
    found = []
    for relation in range(posterior.shape[1]):
        scores = posterior[:, relation]
        ordered = sorted(range(len(pairs)), key=lambda place: (-scores[place], pairs[place]))
        often: Counter[str] = Counter()
        seen: set[frozenset[str]] = set()
        kept: list[Pair] = []
        for place in ordered:
            past, candidate = pairs[place]
            both = frozenset((past, candidate))
            if len(kept) == most:
                break
            if len(both) < 2 or both in seen or max(often[past], often[candidate]) >= PER_ITEM:
                continue
            seen.add(both)
            often.update(both)
            kept.append(Pair(past, candidate, float(scores[place])))
        found.append(tuple(kept))
    return found
