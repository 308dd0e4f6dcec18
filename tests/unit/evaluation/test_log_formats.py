"""Whatever the file looks like, what comes out is one interaction log."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from dyngraph.events import EventType, Item
from evaluation.readers import InteractionLog, read_log

ROWS = [
    {"user_id": "ann", "item_id": "i1", "event_type": "view", "ts": 1_600_000_000, "value": None},
    {"user_id": "bob", "item_id": "i2", "event_type": "purchase", "ts": 1_600_000_060, "value": 2.5},
    {"user_id": "ann", "item_id": "i2", "event_type": "remove", "ts": 1_600_000_060, "value": None},
]
EXPECTED = [
    ("ann", "i1", EventType.VIEW, 1_600_000_000_000, None),
    ("bob", "i2", EventType.PURCHASE, 1_600_000_060_000, 2.5),
    ("ann", "i2", EventType.REMOVE, 1_600_000_060_000, None),
]


def delimited(separator: str) -> str:
    lines = [separator.join(ROWS[0])]
    lines += [separator.join("" if v is None else str(v) for v in row.values()) for row in ROWS]
    return "\n".join(lines) + "\n"


def recbole() -> str:
    kinds = ["token", "token", "token", "float", "float"]
    header = "\t".join(f"{name}:{kind}" for name, kind in zip(ROWS[0], kinds, strict=True))
    return header + "\n" + delimited("\t").split("\n", 1)[1]


def json_lines() -> str:
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in ROWS)


TEXT_FORMATS: dict[str, Callable[[], str]] = {
    ".csv": lambda: delimited(","),
    ".tsv": lambda: delimited("\t"),
    ".inter": recbole,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_lines,
}


def rows(log: InteractionLog) -> list[tuple[object, ...]]:
    return log.frame.rows()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("extension", TEXT_FORMATS)
def test_text_formats_read_alike_plain_and_compressed(tmp_path: Path, extension: str, packed: bool) -> None:
    data = TEXT_FORMATS[extension]().encode()
    path = tmp_path / f"shop{extension}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(data) if packed else data)
    log = read_log(path)
    assert rows(log) == EXPECTED
    assert log.name == "shop"


def test_parquet_reads_like_text(tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    assert rows(read_log(path)) == EXPECTED


def test_parquet_may_hold_integer_ids_and_datetimes(tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    when = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
    pl.DataFrame({"user": [7], "item": [8.0], "time": [when], "event": [4]}).write_parquet(path)
    assert rows(read_log(path)) == [("7", "8", EventType.PURCHASE, 1_600_000_000_000, None)]


def test_the_frame_has_exactly_the_promised_columns(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time,colour\na,b,1600000000,red\n")
    log = read_log(path)
    assert dict(log.frame.schema) == {
        "user_id": pl.String,
        "item_id": pl.String,
        "event_type": pl.Int8,
        "ts": pl.Int64,
        "value": pl.Float64,
    }
    assert any("colour" in note for note in log.notes)


@pytest.mark.parametrize("user", ["user_id", "user", "CustomerID", "customer_id", "reviewerID", "USER"])
@pytest.mark.parametrize("item", ["item_id", "item", "asin", "StockCode", "product_id"])
@pytest.mark.parametrize("ts", ["ts", "ts_ms", "time", "timestamp", "InvoiceDate", "date"])
def test_usual_column_names_are_recognised(tmp_path: Path, user: str, item: str, ts: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(f"{ts},{item},{user}\n1600000000000,b,a\n")
    assert rows(read_log(path)) == [("a", "b", EventType.VIEW, 1_600_000_000_000, None)]


def test_a_mapping_overrides_what_would_be_recognised(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user_id,who,item,time\na,b,i,1600000000\n")
    assert read_log(path, mapping={"user_id": "who"}).frame["user_id"].to_list() == ["b"]


def test_a_rating_column_makes_ratings_and_nothing_makes_views(tmp_path: Path) -> None:
    rated, bare = tmp_path / "rated.csv", tmp_path / "bare.csv"
    rated.write_text("user,item,time,rating\na,i,1600000000,4\n")
    bare.write_text("user,item,time,quantity\na,i,1600000000,4\n")
    assert rows(read_log(rated)) == [("a", "i", EventType.RATING, 1_600_000_000_000, 4.0)]
    assert rows(read_log(bare)) == [("a", "i", EventType.VIEW, 1_600_000_000_000, 4.0)]
    assert any("every row is a view" in note for note in read_log(bare).notes)


def test_float_like_ids_are_the_integers_they_were(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time\n17850.0,85123A,1600000000\n17850,1.5,1600000000\n")
    log = read_log(path)
    assert log.frame["user_id"].to_list() == ["17850", "17850"]
    assert log.frame["item_id"].to_list() == ["85123A", "1.5"]


def test_rows_are_sorted_by_time_and_ties_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    rows = [f"u{place * 7919 % 5000},i,{1600000000 + place % 3}" for place in range(5000)]
    path.write_text("user,item,time\n" + "\n".join(rows))
    log = read_log(path)
    expected = [row.split(",")[0] for row in sorted(rows, key=lambda row: row[-1])]
    assert log.frame["user_id"].to_list() == expected
    assert any("not in time order" in note for note in log.notes)


def test_repeated_rows_are_kept_counted_and_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time\na,i,1600000000\na,i,1600000000\n")
    log = read_log(path)
    assert len(log) == 2
    assert any(note.startswith("1 rows repeat") for note in log.notes)
    assert len(set(log.event_ids)) == 2


def test_event_ids_are_those_of_the_live_path(tmp_path: Path) -> None:
    from streams.codec import derive_event_id

    path = tmp_path / "shop.csv"
    path.write_text("user,item,time,event\nänn,i|1,1600000000,purchase\n")
    (event,) = read_log(path).interactions()
    assert event.event_id == derive_event_id("änn", "i|1", "purchase", 1_600_000_000_000)
    assert (event.user_id, event.item_id, event.event_type) == ("änn", "i|1", EventType.PURCHASE)


def test_a_part_of_the_interactions_equals_that_part_of_all(tmp_path: Path) -> None:
    path = tmp_path / "shop.jsonl"
    path.write_text(json_lines())
    log = read_log(path)
    assert list(log.interactions(1, 3)) == list(log.interactions())[1:]
    assert len(log.head(2)) == 2


def test_a_recbole_stem_brings_its_items(tmp_path: Path) -> None:
    (tmp_path / "ml.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t2\t881250949\n")
    (tmp_path / "ml.item").write_text(
        'item_id:token\tmovie_title:token_seq\tclass:token_seq\n2\tThe "Quoted" Tale\tDrama War\n'
    )
    for path in (tmp_path, tmp_path / "ml.inter"):
        expected = Item("2", title='The "Quoted" Tale', categories=("Drama", "War"))
        assert read_log(path).items == [expected]


def test_a_folder_holds_interactions_and_items_of_any_formats(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item,time\na,i,1600000000\n")
    lines = [
        {"asin": "i", "title": " Red \n lamp", "brand": "Lux", "categories": [["Home", "Light"], ["Gift"]]},
        {"asin": "j", "title": None, "price": "3.50"},
    ]
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    log = read_log(tmp_path)
    assert log.name == tmp_path.name
    assert log.items == [
        Item("i", title="Red lamp", brand="Lux", categories=("Home > Light", "Gift")),
        Item("j", price=3.5),
    ]
    assert log.catalogue["j"].price == 3.5


def test_of_items_given_twice_the_last_word_holds_and_is_counted(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item,time\na,i,1600000000\n")
    (tmp_path / "items.csv").write_text("item,title,brand\ni,Old,Lux\ni,New,\n")
    log = read_log(tmp_path)
    assert log.items == [Item("i", title="New", brand="Lux")]
    assert log.dropped == {"catalogue rows of an item given again": 1}


def test_titles_among_the_interactions_become_the_catalogue_and_no_later_one_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(
        "user,item,time,Description\na,i,1600000009,News from the future\na,i,1600000001,\na,i,1600000002,Lamp\n"
        "b,j,1600000001,\n"
    )
    assert read_log(path).catalogue == {"i": Item("i", title="Lamp"), "j": Item("j")}


def test_quotes_line_breaks_and_byte_order_marks_are_understood_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(b'\xef\xbb\xbfuser,item,time,title\r\n"a,b",i,1600000000,"two\r\nlines ""q"""\r\n')
    log = read_log(path)
    assert log.frame["user_id"].to_list() == ["a,b"]
    assert log.items[0].title == 'two lines "q"'


def test_a_csv_with_semicolons_is_read_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user;item;time\na;i;1600000000\n")
    log = read_log(path)
    assert len(log) == 1
    assert "fields are separated by ';'" in log.notes


def test_blank_lines_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time\na,i,1600000000\n\nb,i,1600000001\n")
    log = read_log(path)
    assert len(log) == 2
    assert log.dropped == {"blank lines": 1}
