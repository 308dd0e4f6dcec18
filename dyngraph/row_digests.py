"""Which node a row is, in eight bytes: how two processes find out that their rows mean the same nodes.

Rows are given in order of first appearance in the log, so two shards of one log number their nodes alike, until one of
them erases a user at another moment than the other: the user comes back under a new row, and every later row is
shifted. Learned rows that travel between processes therefore carry digests of the ids, and are placed by those and
never by number alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from dyngraph.ids import IdTable

Digests = NDArray[np.int64]

NOBODY = 0
"""Digest of the null row, of a row whose user was erased, and of every row of a user who ever was."""


def digest_of_id(name: str) -> int:
    """A signed 64-bit digest of an id (BLAKE2b); two of a million ids agree with probability 3e-8."""
    raw = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little", signed=True) or 1


class RowDigests:
    """Digests of one side's ids by row; 8 bytes and about a microsecond per node, each hashed once.

    >>> from dyngraph.ids import IdTable
    >>> ids, digests = IdTable(), RowDigests()
    >>> rows = ids.add(["ann", "bob"])
    >>> digests.follow(ids)
    >>> digests.block("ann")
    >>> [bool(value) for value in digests.view]
    [False, False, True]
    """

    def __init__(self) -> None:
        self._buffer: Digests = np.zeros(64, dtype=np.int64)
        self._length = 0
        self._blocked: set[int] = set()

    @property
    def view(self) -> Digests:
        """``[rows]`` int64, as of the last :meth:`follow`."""
        return self._buffer[: self._length]

    @property
    def blocked(self) -> Digests:
        """``[b]`` int64 digests of the ids that :meth:`block` was told."""
        return np.fromiter(self._blocked, dtype=np.int64, count=len(self._blocked))

    def follow(self, ids: IdTable) -> None:
        """Take in the rows that ``ids`` has more."""
        length = len(ids)
        if length > len(self._buffer):
            self._buffer = np.concatenate((self._buffer, np.zeros(max(length, len(self._buffer)), dtype=np.int64)))
        for row in range(self._length, length):
            name = ids[row]
            digest = digest_of_id(name) if name else NOBODY
            self._buffer[row] = NOBODY if digest in self._blocked else digest
        self._length = length

    def block(self, name: str) -> None:
        """From now on no row is this id's: neither the rows it has nor those it will get."""
        digest = digest_of_id(name)
        self._blocked.add(digest)
        self._buffer[self._buffer == digest] = NOBODY


def places(theirs: Digests, own: Digests, gone: Digests) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """For rows that arrive: which of them (``[n]``) belong to which own rows (``[n]``); None if row by row.

    ``gone`` are ids that own rows no longer stand for. Raises LookupError with the number of arriving rows whose id is
    neither known nor gone.

    >>> a, b, c = (digest_of_id(name) for name in "abc")
    >>> none = np.zeros(0, dtype=np.int64)
    >>> places(np.array([0, a, b]), np.array([0, a, b, c]), none) is None
    True
    >>> places(np.array([0, a, b]), np.array([0, 0, b, c, a]), none)
    (array([1, 2]), array([4, 2]))
    """
    named = np.flatnonzero(theirs)
    if len(theirs) <= len(own) and np.array_equal(theirs, own[: len(theirs)]):
        # The null row is nobody on both sides; any other such row was somebody, and nothing of it may arrive.
        return None if len(named) == len(theirs) - 1 else (named, named)
    order = np.argsort(own, kind="stable")
    at = np.minimum(np.searchsorted(own[order], theirs[named]), len(own) - 1)
    found = own[order[at]] == theirs[named]
    strangers = int((~found & ~np.isin(theirs[named], gone)).sum())
    if strangers:
        raise LookupError(strangers)
    return named[found], order[at[found]]
