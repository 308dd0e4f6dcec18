"""What is fetched is whole, checked and nothing else, whatever the line and the source do."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from data_mirror import Mirror, serving
from small_workbook import write_workbook
from typer.testing import CliRunner

from evaluation.datasets import DATASETS, Counts, Dataset, DatasetError, Remote, dataset, fetch
from evaluation.datasets.download import Patience, check_answer, download
from evaluation.datasets.unpacking import unpack
from evaluation.readers import read_log
from streams.cli import app

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("EVERGRAPH_DATA", ROOT.parent / "shared" / "data"))

HASTE = Patience(attempts=3, pause_s=0.01)
BODY = bytes(range(256)) * 400
RATINGS = "1::10::5::978300760\n2::10::4::978300761\n2::20::3::978300762\n"
TABLES = {"ratings.dat": RATINGS, "movies.dat": "10::Lamp (1995)::Drama\n20::Cité (1999)::War\n", "README": "Terms."}


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def archive(members: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(name, content.encode("latin-1") if isinstance(content, str) else content)
    return packed.getvalue()


def movies(**changes: object) -> tuple[Dataset, bytes]:
    """A set laid out as MovieLens 1M, with three ratings, and its archive."""
    data = archive({f"ml-1m/{name}": text for name, text in TABLES.items()})
    remote = Remote("https://files.example.org/ml-small.zip", digest=sha256(data), unpack=True)
    entry = replace(
        DATASETS["ml-1m"],
        name="small",
        files=(remote,),
        counts=Counts(3, 2, 2),
        members={"ratings.dat": sha256(RATINGS.encode())},
    )
    return replace(entry, **changes), data  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror()) as running:
        yield running


# One file


def test_a_file_appears_whole_and_checked(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "x.bin"
    download(
        f"{mirror.address}/x.bin", target, digest=sha256(BODY), tell=lambda done, total: told.append((done, total))
    )
    assert target.read_bytes() == BODY
    assert told[0] == (0, len(BODY)) and told[-1] == (len(BODY), len(BODY))
    assert names(tmp_path) == ["x.bin"]


def test_a_line_that_breaks_is_taken_up_where_it_broke(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY
    mirror.breaks = [1_000, 50_000]
    download(f"{mirror.address}/x.bin", tmp_path / "x.bin", digest=sha256(BODY), patience=HASTE)
    assert (tmp_path / "x.bin").read_bytes() == BODY
    assert [wanted for _, wanted in mirror.asked] == [None, "bytes=1000-", "bytes=51000-"]


def test_the_next_run_goes_on_where_the_last_one_gave_up(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY
    mirror.breaks = [1_000, 1_000]
    with pytest.raises(DatasetError, match="2 times; run it again to go on from what is here"):
        download(f"{mirror.address}/x.bin", tmp_path / "x.bin", patience=replace(HASTE, attempts=2))
    assert not (tmp_path / "x.bin").exists()
    download(f"{mirror.address}/x.bin", tmp_path / "x.bin", patience=HASTE)
    assert (tmp_path / "x.bin").read_bytes() == BODY
    assert mirror.asked[-1] == ("x.bin", "bytes=2000-")


def test_halves_of_two_versions_are_never_glued_together(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY
    mirror.breaks = [1_000]
    with pytest.raises(DatasetError):
        download(f"{mirror.address}/x.bin", tmp_path / "x.bin", patience=replace(HASTE, attempts=1))
    mirror.files["x.bin"], mirror.etag = BODY[::-1], '"two"'
    download(f"{mirror.address}/x.bin", tmp_path / "x.bin", patience=HASTE)
    assert (tmp_path / "x.bin").read_bytes() == BODY[::-1]


@pytest.mark.parametrize("change", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}])
def test_where_the_rest_cannot_be_asked_for_all_is(mirror: Mirror, tmp_path: Path, change: dict[str, object]) -> None:
    for name, value in change.items():
        setattr(mirror, name, value)
    mirror.files["x.bin"] = BODY
    mirror.breaks = [1_000]
    download(f"{mirror.address}/x.bin", tmp_path / "x.bin", patience=HASTE)
    assert (tmp_path / "x.bin").read_bytes() == BODY


def test_a_run_that_ended_before_the_name_was_given_needs_no_byte_more(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY
    (tmp_path / "x.bin.part").write_bytes(BODY)
    (tmp_path / "x.bin.part.etag").write_text(mirror.etag)
    download(f"{mirror.address}/x.bin", tmp_path / "x.bin", digest=sha256(BODY), patience=HASTE)
    assert (tmp_path / "x.bin").read_bytes() == BODY
    assert mirror.asked == [("x.bin", f"bytes={len(BODY)}-")]


def test_a_busy_server_is_asked_again_and_then_no_more(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY
    mirror.busy = 2
    download(f"{mirror.address}/x.bin", tmp_path / "x.bin", patience=HASTE)
    mirror.busy = 9
    with pytest.raises(DatasetError, match="the server answers 503 Service Unavailable, 3 times"):
        download(f"{mirror.address}/x.bin", tmp_path / "y.bin", patience=HASTE)


def test_a_file_that_is_not_there_is_asked_for_once(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"/gone\.zip: the server answers 404 Not Found; .* --from"):
        download(f"{mirror.address}/gone.zip", tmp_path / "x.bin", patience=HASTE)
    assert len(mirror.asked) == 1
    assert names(tmp_path) == []


def test_a_wrong_checksum_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.bin"] = BODY[:-1] + b"!"
    with pytest.raises(DatasetError, match=r"x\.bin: its checksum is sha256:.*, not sha256:.*; it was removed"):
        download(f"{mirror.address}/x.bin", tmp_path / "x.bin", digest=sha256(BODY), patience=HASTE)
    assert names(tmp_path) == []


def test_a_packed_file_stays_packed_though_the_server_calls_that_an_encoding(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["x.gz"], mirror.encoding = gzip.compress(BODY), "gzip"
    download(f"{mirror.address}/x.gz", tmp_path / "x.gz", patience=HASTE)
    assert gzip.decompress((tmp_path / "x.gz").read_bytes()) == BODY


def test_only_http_is_fetched_and_nobody_home_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="must begin with https:// or http://"):
        download("file:///etc/passwd", tmp_path / "x")
    with serving(Mirror()) as gone:
        address = gone.address
    with pytest.raises(DatasetError, match=r"Connection refused, 2 times; run it again") as caught:
        download(f"{address}/x", tmp_path / "x", patience=replace(HASTE, attempts=2))
    assert "\n" not in str(caught.value)


def test_a_safe_address_that_leads_to_an_unsafe_one_is_not_followed() -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 200, "http://files.example.org/x"
    with pytest.raises(DatasetError, match=r"was sent on to http://files\.example\.org/x"):
        check_answer(answer, "https://files.example.org/x")
    check_answer(answer, "http://files.example.org/x")


# Archives


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:evil.txt"])
def test_an_archive_that_points_outside_is_refused_whole(tmp_path: Path, name: str) -> None:
    packed = tmp_path / "bad.zip"
    packed.write_bytes(archive({"good.txt": "good", name: "evil"}))
    (tmp_path / "in").mkdir()
    with pytest.raises(DatasetError, match=r"bad\.zip: member .* points outside"):
        unpack(packed, tmp_path / "in")
    assert names(tmp_path / "in") == []
    assert names(tmp_path) == ["bad.zip", "in"]


def test_links_bombs_doubles_and_wrecks_are_refused(tmp_path: Path) -> None:
    packed = tmp_path / "bad.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link"):
        unpack(packed, tmp_path / "a")
    packed.write_bytes(archive({"zeros": b"\0" * 100_000}))
    with pytest.raises(DatasetError, match="unpacks to 100,000 bytes, more than 99,999"):
        unpack(packed, tmp_path / "b", most_bytes=99_999)
    with zipfile.ZipFile(packed, "w") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr("x/a", "1")
        opened.writestr("x/a", "2")
    with pytest.raises(DatasetError, match="stands there twice"):
        unpack(packed, tmp_path / "c")
    packed.write_bytes(archive({"a": "whole"})[:-9])
    with pytest.raises(DatasetError, match="no archive that can be unpacked"):
        unpack(packed, tmp_path / "d")


# Whole sets


def test_a_set_is_fetched_checked_and_reads(mirror: Mirror, tmp_path: Path) -> None:
    entry, mirror.files["ml-small.zip"] = movies()
    folder = fetch(entry, tmp_path, mirror=mirror.address, patience=HASTE)
    log = read_log(folder)
    assert (folder, len(log), log.catalogue["20"].title) == (tmp_path / "small", 3, "Cité (1999)")
    origin = (folder / "ORIGIN.md").read_text()
    assert entry.files[0].url in origin and mirror.address in origin and entry.licence in origin
    assert str(entry.files[0].digest) in origin
    assert names(tmp_path) == ["small"]


def test_what_is_there_stays_unless_force_says_otherwise(mirror: Mirror, tmp_path: Path) -> None:
    entry, mirror.files["ml-small.zip"] = movies()
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").touch()
    assert fetch(entry, tmp_path, mirror=mirror.address) == tmp_path / "small"
    assert mirror.asked == []
    fetch(entry, tmp_path, mirror=mirror.address, force=True)
    assert not (tmp_path / "small" / "mine").exists()
    assert names(tmp_path) == ["small"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"counts": Counts(events=4)}, "3 events where 4 are published"),
        ({"counts": Counts(users=3)}, "2 users where 3 are published"),
        ({"counts": Counts(items=1)}, "2 items where 1 are published"),
        ({"counts": Counts(lines=9)}, "3 lines where 9 are published"),
        ({"members": {"ratings.dat": sha256(b"other")}}, r"ratings\.dat: its checksum is"),
        ({"members": {"tags.dat": sha256(b"")}}, r"tags\.dat is missing"),
    ],
)
def test_what_is_not_the_published_set_is_not_kept(
    mirror: Mirror, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    entry, mirror.files["ml-small.zip"] = movies(**changes)
    with pytest.raises(DatasetError, match=f"{said}.*nothing was kept"):
        fetch(entry, tmp_path, mirror=mirror.address, patience=HASTE)
    assert names(tmp_path) == []


def test_a_failed_replacement_leaves_the_old_folder(mirror: Mirror, tmp_path: Path) -> None:
    entry, mirror.files["ml-small.zip"] = movies(counts=Counts(events=4))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").touch()
    with pytest.raises(DatasetError):
        fetch(entry, tmp_path, mirror=mirror.address, force=True)
    assert names(tmp_path / "small") == ["mine"]


def test_an_archive_that_cannot_be_read_is_not_kept(mirror: Mirror, tmp_path: Path) -> None:
    data = archive({"x/ratings.dat": "1::2::3\n"})
    entry, _ = movies(files=(Remote("https://files.example.org/x.zip", unpack=True),), members={})
    mirror.files["x.zip"] = data
    with pytest.raises(DatasetError, match=r"small: 1 bad rows, first: .*line 1: 3 fields where 4 stand"):
        fetch(entry, tmp_path, mirror=mirror.address)
    mirror.files["x.zip"] = archive({"x/nothing.txt": "prose"})
    with pytest.raises(DatasetError, match="small: what came cannot be read"):
        fetch(entry, tmp_path, mirror=mirror.address)
    assert names(tmp_path) == []


def test_a_run_that_was_stopped_fetches_only_what_is_missing(mirror: Mirror, tmp_path: Path) -> None:
    review = {"reviewerID": "A", "asin": "B", "overall": 5.0, "unixReviewTime": 1_391_040_000}
    mirror.files["reviews_Beauty_5.json.gz"] = gzip.compress(json.dumps(review).encode())
    entry = replace(DATASETS["amazon-beauty"], counts=Counts(1, 1, 1))
    with pytest.raises(DatasetError, match="404"):
        fetch(entry, tmp_path, mirror=mirror.address, patience=HASTE)
    mirror.files["meta_Beauty.json.gz"] = gzip.compress(b"{'asin': 'B', 'title': \"It's a lamp\"}\n")
    folder = fetch(entry, tmp_path, mirror=mirror.address, patience=HASTE)
    assert [name for name, _ in mirror.asked] == ["reviews_Beauty_5.json.gz"] + 2 * ["meta_Beauty.json.gz"]
    assert read_log(folder).catalogue["B"].title == "It's a lamp"


def test_every_layout_of_the_registry_is_one_that_reads(mirror: Mirror, tmp_path: Path) -> None:
    flags = "|".join(["0"] * 18 + ["1"])
    write_workbook(
        tmp_path / "book.xlsx",
        [
            ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
            [536365, 22423, "CAKE STAND", 1, "2010-12-01 08:26:00", 12.75, 17850, "France"],
        ],
    )
    mirror.files = {
        "ml-100k.zip": archive({"ml-100k/u.data": "1\t2\t3\t881250949\n", "ml-100k/u.item": f"2|Lamp||||{flags}\n"}),
        "ml-1m.zip": archive({f"ml-1m/{name}": text for name, text in TABLES.items()}),
        "reviews_Beauty_5.json.gz": gzip.compress(
            b'{"reviewerID": "A", "asin": "B", "overall": 5.0, "unixReviewTime": 1391040000}\n'
        ),
        "meta_Beauty.json.gz": gzip.compress(b"{'asin': 'B', 'title': 'Lamp'}\n"),
        "online+retail.zip": archive({"Online Retail.xlsx": (tmp_path / "book.xlsx").read_bytes()}),
        "wikipedia.csv": b"user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n0,0,0.0,0,1,2\n",
    }
    for entry in DATASETS.values():
        unchecked = replace(
            entry, counts=Counts(), members={}, files=tuple(replace(file, digest=None) for file in entry.files)
        )
        assert len(read_log(fetch(unchecked, tmp_path / "out", mirror=mirror.address))) >= 1


def test_the_registry_is_honest_and_complete() -> None:
    for entry in DATASETS.values():
        assert all(file.url.startswith("https://") for file in entry.files)
        assert entry.licence and entry.cite and entry.proof and entry.size
        assert entry.counts != Counts()
        checked = all(file.digest for file in entry.files) or entry.members
        assert ("sha256" in entry.proof or "md5" in entry.proof) == bool(checked)
    with pytest.raises(DatasetError, match="no data set called 'moon' can be fetched; known are: ml-100k, ml-1m"):
        dataset("moon")


def test_the_real_tables_of_movielens_pass_the_checks_of_the_registry(mirror: Mirror, tmp_path: Path) -> None:
    folder = DATA / "ml-1m"
    if not (folder / "ratings.dat.gz").exists():
        pytest.skip(f"ml-1m is not under {DATA}; set EVERGRAPH_DATA to the folder that holds it")
    real = {
        f"ml-1m/{name}": gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in DATASETS["ml-1m"].members
    }
    mirror.files["ml-1m.zip"] = archive(real, zipfile.ZIP_STORED)  # type: ignore[arg-type]
    archive_unchecked = replace(DATASETS["ml-1m"].files[0], digest=None)
    fetched = fetch(replace(DATASETS["ml-1m"], files=(archive_unchecked,)), tmp_path, mirror=mirror.address)
    assert "Reads as 1,000,209 events of 6,040 users on 3,706 items." in (fetched / "ORIGIN.md").read_text()


# The command


def test_the_command_fetches_says_the_terms_and_knows_what_is_there(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, mirror.files["ml-small.zip"] = movies()
    monkeypatch.setitem(DATASETS, "small", entry)
    monkeypatch.setenv("EVERGRAPH_DATA", str(tmp_path))
    first = CliRunner().invoke(app, ["data", "get", "small", "--from", mirror.address])
    assert first.exit_code == 0
    assert f"terms: {entry.licence}" in first.output
    assert f"{tmp_path / 'small'} is ready" in first.output
    again = CliRunner().invoke(app, ["data", "get", "small", "--from", mirror.address])
    assert "is there already; --force fetches it again" in again.output
    listed = CliRunner().invoke(app, ["data", "list", "--to", str(tmp_path)])
    assert f"small: MovieLens 1M (6 MB, in {tmp_path / 'small'})" in listed.output
    assert all(name in listed.output for name in DATASETS)
