"""The SQLite file under a :class:`~llm_workers.store.Store`: opening it, knowing it, moving it aside when broken.

Only what begins as SQLite is ever moved, and nothing that a person named for one command: any other file is somebody's.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

FORMAT = 1
APPLICATION_ID = 0x45564C43
"""In the file's header: ours, and not somebody's own database."""
HEADER = b"SQLite format 3\x00"
PER_ENTRY = 128
"""Bytes counted for an entry besides its key and value."""

SCHEMA = f"""
CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, owner BLOB NOT NULL, used INTEGER NOT NULL);
CREATE INDEX entries_used ON entries (used);
CREATE INDEX entries_owner ON entries (owner) WHERE owner != x'';
CREATE TABLE pending (key TEXT PRIMARY KEY, value BLOB NOT NULL, owner BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX pending_owner ON pending (owner) WHERE owner != x'';
CREATE TABLE total (bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER entry_in AFTER INSERT ON entries BEGIN
  UPDATE total SET bytes = bytes + length(new.key) + length(new.value) + {PER_ENTRY};
END;
CREATE TRIGGER entry_out AFTER DELETE ON entries BEGIN
  UPDATE total SET bytes = bytes - length(old.key) - length(old.value) - {PER_ENTRY};
END;
CREATE TRIGGER entry_new AFTER UPDATE OF value ON entries BEGIN
  UPDATE total SET bytes = bytes + length(new.value) - length(old.value);
END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""

GIVE = "give a file that an LLM worker or `evergraph llm export-jobs` made, or a new name (--cache, llm.cache_path)"


class StoreError(RuntimeError):
    """Raised for a file that cannot serve, and for an erasure that could not be finished; names the fix."""


class StoreFile:
    """The connection to ``path`` (None: in memory). Not locked: whoever uses it takes turns.

    ``heals``: a broken file is moved aside, and a new one is begun; otherwise it stays where it is.
    """

    def __init__(self, path: Path | None, lock_wait_s: float, *, heals: bool = True) -> None:
        self._path, self._lock_wait_s, self._heals = path, lock_wait_s, heals
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                fix = "give cache_path a place that can be written to"
                raise StoreError(f"the cache {path}: its folder cannot be made ({error.strerror}); {fix}") from None

    def connection(self) -> sqlite3.Connection:
        """Opened if it is not. Raises ``sqlite3.Error``, and :class:`StoreError` for another program's file."""
        if self._db is None:
            self._refuse_what_is_no_database()
            name = ":memory:" if self._path is None else str(self._path)
            db = sqlite3.connect(name, timeout=self._lock_wait_s, check_same_thread=False, isolation_level=None)
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db, self._inode = db, self._inode_now()
        return self._db

    def close(self) -> None:
        """The next access opens it again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def move_aside(self, why: str) -> None:
        """Of a broken file: it keeps its bytes under another name, and the next access begins a new one.

        Raises :class:`StoreError` for a file that is not to be moved.
        """
        replaced = self._db is not None and self._inode_now() != self._inode
        self.close()
        if self._path is None or replaced:
            return  # another process has moved it already
        self._refuse_what_is_no_database()
        if not self._heals:
            raise StoreError(f"{self._path} is an answer cache that cannot be read ({why}); {GIVE}")
        aside = self._path.with_name(f"{self._path.name}.broken-{time.time_ns()}")
        for ending in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        log.warning("the cache %s is broken (%s): moved to %s, a new one is begun", self._path, why, aside)

    def remove_moved_aside(self) -> None:
        """Nobody can be erased from a broken file, so an erasure removes it."""
        if self._path is not None:
            for part in self._path.parent.glob(f"{self._path.name}.broken-*"):
                part.unlink(missing_ok=True)

    def _refuse_what_is_no_database(self) -> None:
        try:
            if self._path is None or not self._path.exists():
                return
            with self._path.open("rb") as file:
                begins = file.read(len(HEADER))
        except OSError:
            return  # SQLite says why it cannot be opened
        if not HEADER.startswith(begins):
            raise StoreError(f"{self._path} is no answer cache: it does not begin as an SQLite file does; {GIVE}")

    def _inode_now(self) -> int:
        try:
            return self._path.stat().st_ino if self._path is not None else 0
        except OSError:
            return -1

    def _prepare(self, db: sqlite3.Connection) -> None:
        # In one reading: another process may be making the file just now.
        with transaction(db, "DEFERRED"):
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            known = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if known != [APPLICATION_ID, FORMAT]:
            if (tables or known[0]) and known[0] != APPLICATION_ID:
                raise StoreError(f"{self._path} is no answer cache but another program's database; {GIVE}")
            if known[0] == APPLICATION_ID:
                raise sqlite3.DatabaseError(f"it has format {known[1]}, this program writes {FORMAT}")
        self._write_ahead(db)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")
        if known != [APPLICATION_ID, FORMAT]:
            with transaction(db):
                if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in _statements(SCHEMA):
                        db.execute(statement)

    def _write_ahead(self, db: sqlite3.Connection) -> None:
        """Switch to a write-ahead log. SQLite does not wait by itself for whoever is at a new file just then."""
        give_up = time.monotonic() + self._lock_wait_s
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.01)


@contextmanager
def transaction(db: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """One, as a whole or not at all; a deferred one waits for nobody before it writes."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
