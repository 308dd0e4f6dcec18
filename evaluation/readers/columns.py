"""Which column plays which role: usual names are recognised, ``--map role=column`` overrides.

Public data sets name the same four things in a dozen ways; asking for a mapping each time would make the
first minute with one's own data the worst one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from evaluation.readers.errors import DataFileError

INTERACTION_ROLES: Mapping[str, tuple[str, ...]] = {
    "user_id": ("user_id", "user", "CustomerID", "customer_id", "reviewerID"),
    "item_id": ("item_id", "item", "asin", "StockCode", "product_id"),
    "ts": ("ts", "ts_ms", "time", "timestamp", "InvoiceDate", "date"),
    "event_type": ("event_type", "event", "type"),
    "value": ("value", "rating", "quantity"),
}
"""Role to recognised column names, best first; letters' case does not matter."""

CATALOGUE_ROLES: Mapping[str, tuple[str, ...]] = {
    "item_id": INTERACTION_ROLES["item_id"],
    "title": ("title", "text", "name", "movie_title", "Description"),
    "brand": ("brand",),
    "categories": ("categories", "category", "class", "genres"),
    "price": ("price",),
}

REQUIRED_OF_INTERACTIONS = ("user_id", "item_id", "ts")

SPLITS = ("split", "fold", "subset", "partition")
"""Columns that say which part of a published split a row belongs to. A log is cut by its own time only."""


def resolve(columns: Sequence[str], roles: Mapping[str, tuple[str, ...]], mapping: Mapping[str, str]) -> dict[str, str]:
    """Role to column for the roles that ``columns`` can fill; a mapped column wins where the file has it.

    >>> resolve(["CustomerID", "asin", "when"], INTERACTION_ROLES, {"ts": "when"})
    {'user_id': 'CustomerID', 'item_id': 'asin', 'ts': 'when'}
    """
    by_lower = {column.lower(): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for role, names in roles.items():
        if mapping.get(role) in columns:
            found[role] = mapping[role]
            continue
        taken = set(mapping.values())
        hits = [by_lower[name.lower()] for name in names if name.lower() in by_lower]
        free = [column for column in hits if column not in taken]
        if free:
            found[role] = free[0]
    return found


def notes_on_unread(columns: Sequence[str], used: Collection[str]) -> list[str]:
    """What to say of columns that play no role."""
    unread = [name for name in columns if name not in used]
    notes = [f"columns not read: {', '.join(unread)}"] if unread else []
    splits = [name for name in unread if name.lower() in SPLITS]
    return [
        *notes,
        *(f"column {name} is a split: a log is replayed in its own time order, all of it" for name in splits),
    ]


def check_mapping(mapping: Mapping[str, str], files: Mapping[str, Sequence[str]]) -> None:
    """Refuse a mapping that cannot work: an unknown role, or a column that no file has.

    ``files`` maps file names to their columns. Raises :class:`DataFileError`.
    """
    known = [*INTERACTION_ROLES, *(role for role in CATALOGUE_ROLES if role != "item_id")]
    for role, column in mapping.items():
        if role not in known:
            raise DataFileError(f"--map {role}={column}: {role!r} is no role; use one of: {', '.join(known)}")
        if not any(column in columns for columns in files.values()):
            there = "; ".join(f"{name} has: {', '.join(columns)}" for name, columns in files.items())
            raise DataFileError(f"--map {role}={column}: there is no column {column!r}; {there}")


def require(name: str, columns: Sequence[str], found: Mapping[str, str], needed: Sequence[str]) -> None:
    """Refuse a file that lacks a needed role. Raises :class:`DataFileError` naming all that are missing."""
    missing = [role for role in needed if role not in found]
    if not missing:
        return
    every_role = {**INTERACTION_ROLES, **CATALOGUE_ROLES}
    accepted = "; ".join(f"{role} may be called {', '.join(every_role[role])}" for role in missing)
    untimed = "; a list without times cannot be replayed in time order" if missing == ["ts"] else ""
    raise DataFileError(
        f"{name}: no column for {', '.join(missing)} ({accepted}); found: {', '.join(columns)}; "
        f"name it with --map {missing[0]}=COLUMN{untimed}"
    )
