"""The cache file: bounded, shared, never in the way, and forgetful when asked."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_workers.store import TOUCHES, Store, StoreError
from llm_workers.store_file import PER_ENTRY

MANY = 10**9


def test_what_is_put_is_there_also_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "cache.sqlite", MANY)
    store.put("a", b"1", "u")
    store.put("a", b"22", "u")
    store.put_many([("b", b"", ""), ("c", bytes(range(256)), "")])
    store.close()
    again = Store(tmp_path / "deep" / "cache.sqlite", MANY)
    assert [again.get(key) for key in "abcd"] == [b"22", b"", bytes(range(256)), None]
    assert (again.figures["hits"], again.figures["misses"], len(again)) == (3, 1, 3)
    again.drop("a")
    assert again.get("a") is None


def test_the_least_recently_used_goes_first() -> None:
    store = Store(None, 10 * (PER_ENTRY + 100))
    for number in range(10):
        store.put(str(number), b"x" * 99)
    assert store.get("0") is not None
    store.put("a", b"x" * 99)
    store.put("b", b"x" * 99)
    assert [number for number in range(10) if store.get(str(number)) is None] == [1, 2]
    assert store.figures["evicted"] == 2


sizes = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3_000), st.booleans()), max_size=60)


@given(sizes)
@settings(deadline=None, max_examples=60)
def test_the_bound_holds_after_every_write(steps: list[tuple[int, int, bool]]) -> None:
    bound = 10_000
    store, known = Store(None, bound), dict[str, bytes]()
    for key, size, reads in steps:
        if reads:
            assert store.get(str(key)) in (None, known.get(str(key)))
        else:
            known[str(key)] = bytes(size)
            store.put(str(key), bytes(size))
        kept = {key: value for key in known if (value := store.get(key)) is not None}
        assert store.size == sum(len(key) + len(value) + PER_ENTRY for key, value in kept.items()) <= bound
    store.close()


def test_a_file_stays_near_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, 200_000)
    for number in range(3_000):
        store.put(f"key-{number}", number.to_bytes(2, "big") * 300)
    store.close()
    assert 100_000 < path.stat().st_size < 400_000
    assert 100 < len(Store(path, 200_000)) < 300


def test_no_byte_of_a_forgotten_owner_is_left(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY)
    for number in range(300):
        owner = f"user-{number % 3}"
        store.put(f"{owner}-{number}", f"secret of {owner} {'x' * (number * 20)}".encode(), owner)
        store.put_pending([(f"p-{owner}-{number}", f"asked about {owner}".encode(), owner)])
    # Rewriting moves values between pages: old copies must not stay either.
    store.put_many([(f"user-1-{number}", b"secret of user-1, shorter", "user-1") for number in range(1, 300, 3)])
    assert store.forget_owner("user-1") == 200
    held = b"".join(part.read_bytes() for part in tmp_path.iterdir())
    assert b"of user-1" not in held
    assert b"about user-1" not in held
    assert b"of user-2" in held
    assert (len(store), store.waiting) == (200, 200)
    assert store.get("user-1-1") is None
    assert store.get("user-2-2") is not None
    assert store.forget_owner("user-1") == 0
    with pytest.raises(ValueError, match="empty owner"):
        store.forget_owner("")


def test_owners_are_not_named_in_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache.sqlite", MANY)
    store.put("k", b"v", "customer-4711")
    store.put_pending([("p", b"v", "customer-4711")])
    store.close()
    assert b"customer-4711" not in (tmp_path / "cache.sqlite").read_bytes()


def test_an_erasure_that_readers_keep_from_ending_says_so_and_ends_later(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY, lock_wait_s=0.1)
    store.put("k", b"secret", "u")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM entries").fetchall()
    with pytest.raises(StoreError, match="then try again"):
        store.forget_owner("u")
    reader.execute("COMMIT")
    store.forget_owner("u")
    assert b"secret" not in b"".join(part.read_bytes() for part in tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"SQLite format 3\x00" + b"\xff" * 5_000, b"SQLite format 3\x00" + bytes(84)])
def test_a_corrupt_file_is_moved_aside_and_a_new_one_begun(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(content)
    store = Store(path, MANY)
    store.put("k", b"v", "u")
    assert store.get("k") == b"v"
    aside = list(tmp_path.glob("cache.sqlite.broken-*"))
    assert [part.read_bytes() for part in aside] == [content]
    assert store.figures["moved_aside"] == 1
    assert "is broken" in caplog.text
    assert str(aside[0]) in caplog.text
    store.forget_owner("u")
    assert not list(tmp_path.glob("cache.sqlite.broken-*")), "nobody can be erased from it, so it goes"


def test_a_file_that_breaks_while_open_costs_a_miss(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY)
    for number in range(500):
        store.put(str(number), bytes(2_000))
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xee" * (path.stat().st_size - 4096))
    store.get("1")
    store.put("k", b"v")
    store.put("k", b"v")
    assert store.get("k") == b"v"
    assert store.figures["moved_aside"] == 1


def test_a_locked_file_is_waited_for_shortly_and_then_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY, lock_wait_s=0.1)
    store.put("old", b"v")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    for number in range(100):
        store.put(str(number), b"v")
    assert 0.1 <= time.monotonic() - started < 0.4
    assert store.figures["bypassed"] == 100
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    with pytest.raises(StoreError, match="end what else uses the file"):
        store.put_pending([("k", b"v", "")])
    other.execute("ROLLBACK")
    time.sleep(0.5)
    store.put("k", b"v")
    assert store.get("k") == b"v"


def test_a_file_locked_from_the_start_is_used_as_soon_as_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    Store(path, MANY).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    store = Store(path, MANY, lock_wait_s=0.05)
    assert store.get("k") is None
    other.close()
    time.sleep(0.3)
    store.put("k", b"v")
    assert store.get("k") == b"v"


def test_other_peoples_databases_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE orders (id)")
    theirs.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is no answer cache but another program's database; give a file"):
        Store(path, MANY)
    assert path.read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="give cache_path a place"):
        Store(tmp_path / "file" / "cache.sqlite", MANY)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("content", [b"<svg/>", b"\x89PNG\r\n" * 900, b"SQLite"[::-1], b"\n"])
def test_what_does_not_begin_as_sqlite_is_never_moved(content: bytes, given: bool, tmp_path: Path) -> None:
    path = tmp_path / "chains.svg"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"chains\.svg is no answer cache: .*; give a file"):
        Store(path, MANY, given=given)
    assert [(part.name, part.read_bytes()) for part in tmp_path.iterdir()] == [("chains.svg", content)]


def test_what_takes_the_place_of_an_open_cache_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY)
    for number in range(500):
        store.put(str(number), bytes(2_000))
    store.close()
    store.get("1")
    content = b"<svg/>" * 100_000
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is no answer cache"):
        for number in range(500):
            store.get(str(number))
    assert path.read_bytes() == content
    assert not list(tmp_path.glob("*.broken-*"))


def test_a_damaged_cache_that_a_person_named_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    content = b"SQLite format 3\x00" + b"\xff" * 5_000
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"cache\.sqlite is an answer cache that cannot be read \("):
        Store(path, MANY, given=True)
    assert [(part.name, part.read_bytes()) for part in tmp_path.iterdir()] == [("cache.sqlite", content)]


def test_reading_a_cache_that_a_person_named_does_not_change_it(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY)
    store.put_many((str(number), b"v", "") for number in range(1_000))
    store.close()
    before = path.read_bytes()
    given = Store(path, MANY, given=True)
    assert all(given.get(str(number)) == b"v" for number in range(1_000))
    given.close()
    assert path.read_bytes() == before


def test_a_digest_is_of_what_is_kept_and_not_of_when_it_was_used(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = Store(path, MANY)
    store.put_many([("a", b"1", ""), ("b", b"2", "")])
    found, file = store.digest(), path.read_bytes()
    for _ in range(TOUCHES):
        store.get("a")
    store.close()
    assert path.read_bytes() != file
    assert Store(path, MANY, given=True).digest() == found
    other = Store(None, MANY)
    other.put_many([("b", b"2", "u"), ("a", b"1", "")])
    assert other.digest() == found
    other.put("b", b"3")
    assert other.digest() != found


def test_an_empty_and_a_cut_file_are_begun_anew_by_a_worker(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("cut", b"SQLite for")):
        (tmp_path / name).write_bytes(content)
        store = Store(tmp_path / name, MANY)
        store.put("k", b"v")
        store.put("k", b"v")
        assert store.get("k") == b"v"


WRITER = """
import sys
from pathlib import Path
from llm_workers.store import Store
store = Store(Path(sys.argv[1]), 10**9, lock_wait_s=20)
for number in range(200):
    store.put(f"{sys.argv[2]}-{number}", sys.argv[2].encode())
    assert store.get(f"{sys.argv[2]}-{number}") == sys.argv[2].encode()
assert store.figures["bypassed"] == 0, store.figures
"""


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(Store(path, MANY)) == 600


BEGINNERS = """
import multiprocessing, sys
from pathlib import Path
from llm_workers.store import Store
fork = multiprocessing.get_context("fork")
def begin(path, together, told):
    together.wait()
    store = Store(path, 10**9, lock_wait_s=20)
    store.put("key", b"v")
    told.put(store.figures["bypassed"])
for number in range(40):
    together, told, path = fork.Barrier(4), fork.SimpleQueue(), Path(sys.argv[1]) / f"{number}.sqlite"
    beginners = [fork.Process(target=begin, args=(path, together, told)) for _ in range(4)]
    for one in beginners:
        one.start()
    for one in beginners:
        one.join()
    assert [one.exitcode for one in beginners] == [0] * 4
    assert [told.get() for _ in beginners] == [0] * 4
"""


def test_processes_that_begin_a_file_at_once_wait_for_one_another(tmp_path: Path) -> None:
    # Forked from a process without threads: that is how they come to the same moment.
    done = subprocess.run([sys.executable, "-c", BEGINNERS, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache.sqlite", MANY)

    def work(name: str) -> None:
        for number in range(100):
            store.put(f"{name}{number}", b"v")
            assert store.get(f"{name}{number}") == b"v"

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 400
