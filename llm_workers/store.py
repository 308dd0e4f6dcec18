"""A bounded key-value file for what was expensive to make: answers of language models, vectors of texts.

SQLite in WAL mode, so several processes may share a file and a file may be passed on. It is a cache: whatever goes
wrong with it costs a miss and a counter, never an exception in the work. There are two exceptions. Forgetting someone
must not fail silently; and a file that is no cache, or that a person named for one command, is neither moved nor done
without.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from llm_workers.store_file import PER_ENTRY, StoreError, StoreFile, transaction

log = logging.getLogger(__name__)

LOCK_WAIT_S = 1.0
LEFT_ALONE = 5
"""Times ``lock_wait_s``: how long a file that could not be used is not tried again."""
TOUCHES = 256
"""Reads are noted in memory and written in groups of this many: a hit costs no write."""
UPSERT = (
    "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (key) "
    "DO UPDATE SET value = excluded.value, owner = excluded.owner, used = excluded.used"
)

T = TypeVar("T")


class Store:
    """At most ``max_bytes`` of keys and values in ``path`` (None: in memory); usable from any thread.

    ``given``: a person named the file for this command, so it must be usable, is never moved aside, and reading does
    not change it. Raises :class:`StoreError` where it cannot be used, and, given or not, for a file of another program.
    """

    def __init__(
        self, path: Path | None, max_bytes: int, *, lock_wait_s: float = LOCK_WAIT_S, given: bool = False
    ) -> None:
        self._path, self._max_bytes, self._lock_wait_s = path, max_bytes, lock_wait_s
        self._lock = threading.RLock()
        self._file = StoreFile(path, lock_wait_s, heals=not given)
        self._given = given
        self._left_alone_until = 0.0
        self._touched: dict[str, int] = {}
        self.figures = {"hits": 0, "misses": 0, "evicted": 0, "bypassed": 0, "moved_aside": 0}
        """``bypassed``: reads and writes that were given up because the file was locked, full or broken."""
        with self._lock:
            if given:
                with self._sure("open it"):
                    pass
            self._try(lambda db: None, None)

    def get(self, key: str) -> bytes | None:
        """What was put, or None."""
        with self._lock:
            rows: list[tuple[bytes]] = self._try(
                lambda db: db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchall(), []
            )
            self.figures["hits" if rows else "misses"] += 1
            if not rows:
                return None
            if not self._given:
                self._touched[key] = time.time_ns()
            if len(self._touched) >= TOUCHES:
                self._try(lambda db: self._write(db, []), None)
            return rows[0][0]

    def put(self, key: str, value: bytes, owner: str = "") -> None:
        """Keep ``value``; ``owner`` is whom it is about (kept as a hash), for :meth:`forget_owner`."""
        self.put_many([(key, value, owner)])

    def put_many(self, entries: Iterable[tuple[str, bytes, str]]) -> None:
        """Several of key, value and owner in one transaction."""
        rows = [(key, value, owner_tag(owner), time.time_ns()) for key, value, owner in entries]
        with self._lock:
            self._try(lambda db: self._write(db, rows), None)

    def drop(self, key: str) -> None:
        """Forget one entry."""
        with self._lock:
            self._touched.pop(key, None)
            self._try(lambda db: db.execute("DELETE FROM entries WHERE key = ?", (key,)), None)

    def put_pending(self, rows: Iterable[tuple[str, bytes, str]]) -> None:
        """Key, value and owner of questions whose answers come later; not bounded, not evicted.

        Raises :class:`StoreError`: unlike an answer, a question that is lost cannot be asked again.
        """
        with self._sure("note the exported prompts") as db, transaction(db):
            tagged = [(key, value, owner_tag(owner)) for key, value, owner in rows]
            db.executemany("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", tagged)

    def pending(self, key: str) -> bytes | None:
        """What :meth:`put_pending` was given. Raises :class:`StoreError`."""
        with self._sure("read the exported prompts") as db:
            rows = db.execute("SELECT value FROM pending WHERE key = ?", (key,)).fetchall()
        return rows[0][0] if rows else None

    def answer_pending(self, answers: Iterable[tuple[str, bytes]]) -> int:
        """Move keys from the pending questions to the entries, each with its owner; gives how many were pending.

        Raises :class:`StoreError`.
        """
        moved = 0
        with self._sure("keep the imported answers") as db, transaction(db):
            for key, value in answers:
                owners = db.execute("SELECT owner FROM pending WHERE key = ?", (key,)).fetchall()
                if owners:
                    db.execute(UPSERT, (key, value, owners[0][0], time.time_ns()))
                    db.execute("DELETE FROM pending WHERE key = ?", (key,))
                    moved += 1
            self._evict(db)
        return moved

    def forget_owner(self, owner: str) -> int:
        """Erase whatever is about ``owner``, so that no byte of it is left in the file; gives the entries erased.

        Raises :class:`StoreError` when others kept the file busy or it is broken: call it again then.
        """
        if not owner:
            raise ValueError("forget_owner was given an empty owner: entries without an owner are about nobody")
        tag = owner_tag(owner)
        self._file.remove_moved_aside()
        with self._sure("erase a person's entries") as db:
            with transaction(db):
                gone = db.execute("DELETE FROM entries WHERE owner = ?", (tag,)).rowcount
                gone += db.execute("DELETE FROM pending WHERE owner = ?", (tag,)).rowcount
            # The write-ahead log still holds the pages as they were: empty it, once nobody reads them any more.
            give_up = time.monotonic() + self._lock_wait_s
            while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up:
                    raise sqlite3.OperationalError("database is locked by readers")
                time.sleep(0.01)
            return gone

    def __len__(self) -> int:
        """Entries."""
        return self._number("SELECT count(*) FROM entries")

    @property
    def size(self) -> int:
        """Bytes that count against the bound."""
        return self._number("SELECT bytes FROM total")

    @property
    def waiting(self) -> int:
        """Pending questions."""
        return self._number("SELECT count(*) FROM pending")

    def digest(self) -> str:
        """Of all keys and values, whoever made the file and whenever they were used. Raises :class:`StoreError`."""
        content = hashlib.blake2b(digest_size=8)
        with self._sure("read it") as db:
            for key, value in db.execute("SELECT key, value FROM entries ORDER BY key"):
                content.update(f"{key} {len(value)} ".encode() + value)
        return content.hexdigest()

    def close(self) -> None:
        """Write what is noted in memory and close the file."""
        with self._lock:
            if self._touched:
                self._try(lambda db: self._write(db, []), None)
            self._file.close()

    def _number(self, question: str) -> int:
        with self._lock:
            rows: list[tuple[int]] = self._try(lambda db: db.execute(question).fetchall(), [])
        return int(rows[0][0]) if rows else 0

    def _write(self, db: sqlite3.Connection, rows: list[tuple[str, bytes, bytes, int]]) -> None:
        with transaction(db):
            touched = [(used, key) for key, used in self._touched.items()]
            db.executemany("UPDATE entries SET used = max(used, ?) WHERE key = ?", touched)
            db.executemany(UPSERT, rows)
            self._evict(db)
        self._touched.clear()

    def _evict(self, db: sqlite3.Connection) -> None:
        """The least recently used first, down to the bound."""
        excess = db.execute("SELECT bytes FROM total").fetchone()[0] - self._max_bytes
        if excess <= 0:
            return
        victims = []
        oldest = "SELECT key, length(key) + length(value) FROM entries ORDER BY used"
        for key, size in db.execute(oldest):
            victims.append((key,))
            excess -= size + PER_ENTRY
            if excess <= 0:
                break
        db.executemany("DELETE FROM entries WHERE key = ?", victims)
        self.figures["evicted"] += len(victims)

    def _try(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do it; what the file does not allow is counted and given up, and not tried again for a while."""
        if time.monotonic() < self._left_alone_until:
            self.figures["bypassed"] += 1
            return otherwise
        try:
            return work(self._file.connection())
        except sqlite3.OperationalError as error:
            if not self.figures["bypassed"]:
                log.warning("the cache %s cannot be used right now (%s): working without it", self._path, error)
            self.figures["bypassed"] += 1
            self._left_alone_until = time.monotonic() + LEFT_ALONE * self._lock_wait_s
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
        return otherwise

    @contextmanager
    def _sure(self, purpose: str) -> Iterator[sqlite3.Connection]:
        """For what must not be given up silently."""
        with self._lock:
            try:
                yield self._file.connection()
            except sqlite3.OperationalError as error:
                fix = "end what else uses the file, make room on the disk, then try again"
                raise StoreError(f"the cache {self._path}: could not {purpose} ({error}); {fix}") from None
            except sqlite3.DatabaseError as error:
                self._move_aside(error)
                raise StoreError(f"the cache {self._path}: could not {purpose} ({error}); try again") from None

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        self._file.move_aside(str(error))
        self.figures["moved_aside"] += 1


def owner_tag(owner: str) -> bytes:
    """How an owner is kept: a file that is passed on names nobody."""
    return hashlib.blake2b(owner.encode("utf-8", "surrogatepass"), digest_size=16).digest() if owner else b""
