"""Every published layout becomes the same kind of log, its catalogue joined, whether file or folder is named."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_workbook import write_workbook

from dyngraph.events import EventType, Item
from evaluation.readers import DataFileError, InteractionLog, read_log, validate_log

NOON = 1_600_000_000
RATING, PURCHASE, VIEW = EventType.RATING, EventType.PURCHASE, EventType.VIEW


def written(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def json_lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def rows(log: InteractionLog) -> list[tuple[object, ...]]:
    return log.frame.rows()


# MovieLens


def test_movielens_dat_joins_latin_1_titles_and_sorts(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        **{
            "ratings.dat": f"1::10::5::{NOON + 5}\n2::20::3.5::{NOON}\n",
            "movies.dat": "10::Misérables, Les (1995)::Drama|Musical\n20::Bare (1990)::(no genres listed)\n".encode(
                "latin-1"
            ),
            "users.dat": "1::F::1::10::48067\n",
            "README.txt": "1 2 3 are the first numbers",
        },
    )
    log = read_log(folder)
    assert rows(log) == [("2", "20", RATING, NOON * 1000, 3.5), ("1", "10", RATING, (NOON + 5) * 1000, 5.0)]
    assert log.items == [
        Item("10", title="Misérables, Les (1995)", categories=("Drama", "Musical")),
        Item("20", title="Bare (1990)"),
    ]
    assert read_log(folder / "ratings.dat").name == log.name == tmp_path.name


def test_movielens_csv_joins_titles_and_leaves_tags_alone(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        **{
            "ratings.csv": f"userId,movieId,rating,timestamp\n1,10,4.5,{NOON}\n",
            "movies.csv": 'movieId,title,genres\n10,"Lamp, The (1995)",Drama|War\n11,Bare,(no genres listed)\n',
            "tags.csv": f"userId,movieId,tag,timestamp\n1,10,dark,{NOON}\n",
            "links.csv": "movieId,imdbId,tmdbId\n10,1,2\n",
        },
    )
    log = read_log(folder)
    assert rows(log) == [("1", "10", RATING, NOON * 1000, 4.5)]
    assert log.items == [Item("10", title="Lamp, The (1995)", categories=("Drama", "War")), Item("11", title="Bare")]


def test_movielens_100k_turns_genre_columns_into_categories(tmp_path: Path) -> None:
    flags = ["0"] * 19
    comedy_war, unknown = flags.copy(), flags.copy()
    comedy_war[5] = comedy_war[17] = "1"
    unknown[0] = "1"
    folder = written(
        tmp_path,
        **{
            "u.data": f"196\t242\t3\t{NOON}\n186\t302\t5\t{NOON + 1}\n",
            "u.item": (
                "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M|" + "|".join(comedy_war) + "\n"
                "302|Cité (1995)|||" + "|" + "|".join(unknown) + "\n"
            ).encode("latin-1"),
            "u1.base": f"196\t242\t3\t{NOON}\n",
        },
    )
    log = read_log(folder)
    assert rows(log)[0] == ("196", "242", RATING, NOON * 1000, 3.0)
    assert log.items == [
        Item("242", title="Kolya (1996)", categories=("Comedy", "War")),
        Item("302", title="Cité (1995)"),
    ]


def test_a_misshapen_line_of_a_headerless_file_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path, **{"ratings.dat": f"1::10::5::{NOON}\n\n1::10::5\n1::10::5::{NOON}::9\n1::x::y::z\n"})
    report = validate_log(folder)
    said = [str(problem) for problem in report.problems]
    assert len(said) == report.n_problems == 4
    assert "line 3: 3 fields where 4 stand: UserID::MovieID::Rating::Timestamp; mend the row" in said[0]
    assert "line 4: 5 fields" in said[1]
    assert "line 5: ts (column Timestamp) 'z' is no time" in said[2] + said[3]
    assert report.dropped == {"blank lines": 1}


# Amazon

REVIEW_2014 = {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": NOON, "reviewText": "it's"}
REVIEW_2023 = {"user_id": "U", "asin": "B1-red", "parent_asin": "B1", "rating": 4.0, "timestamp": NOON * 1000 + 7}


def test_amazon_2014_reads_python_literals_and_only_the_products_that_were_reviewed(tmp_path: Path) -> None:
    metadata = (
        "{'asin': 'B9', 'title': 'Never bought', 'price': None}\n"
        "{'asin': 'B1', 'title': \"Nail &amp; Co's\", 'brand': 'OPI', 'price': 6.5, "
        "'categories': [['Beauty', 'Makeup'], ['Gift']], 'related': {'also_bought': ['B9']}}\n"
    )
    folder = written(
        tmp_path,
        **{
            "reviews_Beauty_5.json.gz": json_lines(REVIEW_2014, {**REVIEW_2014, "asin": "B2"}),
            "meta_Beauty.json.gz": metadata,
        },
    )
    log = read_log(folder)
    assert rows(log)[0] == ("A1", "B1", RATING, NOON * 1000, 5.0)
    assert log.items == [
        Item("B1", title="Nail & Co's", brand="OPI", categories=("Beauty > Makeup", "Gift"), price=6.5)
    ]
    assert "1 products of the metadata have no interactions: not read" in log.notes
    assert "1 items with interactions are not in the catalogue" in log.notes


def test_reviews_of_2014_may_be_python_literals_too(tmp_path: Path) -> None:
    written(tmp_path, **{"reviews_Beauty.json.gz": f"{REVIEW_2014!r}\n"})
    log = read_log(tmp_path / "reviews_Beauty.json.gz")
    assert rows(log) == [("A1", "B1", RATING, NOON * 1000, 5.0)]
    assert "there is no meta_Beauty.* beside it: items have no text" in log.notes


def test_amazon_2018_reads_prices_as_text_and_refuses_pieces_of_web_pages(tmp_path: Path) -> None:
    products = [
        {"asin": "B1", "title": "Lamp", "category": ["Home", "Light &amp; Bulb"], "brand": "Lux", "price": "$1,299.50"},
        {"asin": "B2", "title": "<span id='x'>", "category": [], "brand": "", "price": ".a-box-inner{color:#fff}"},
        {"asin": "B1", "title": "Lamp, new", "price": ""},
    ]
    reviews = [REVIEW_2014, {**REVIEW_2014, "asin": "B2"}]
    folder = written(tmp_path, **{"Home_5.json.gz": json_lines(*reviews), "meta_Home.json.gz": json_lines(*products)})
    log = read_log(folder / "Home_5.json.gz")
    assert log.items == [
        Item("B1", title="Lamp, new", brand="Lux", categories=("Home > Light & Bulb",), price=1299.5),
        Item("B2"),
    ]
    assert log.dropped == {"catalogue rows of an item given again": 1}
    assert "1 prices of the metadata are no single number: left empty" in log.notes
    assert "1 titles of the metadata are pieces of a web page: left empty" in log.notes


def test_amazon_2023_speaks_of_products_whatever_their_colour(tmp_path: Path) -> None:
    product = {"parent_asin": "B1", "title": "Lamp", "store": "Shop", "details": {"Brand": "Lux"}, "price": 9.5}
    folder = written(
        tmp_path,
        **{
            "All_Beauty.jsonl.gz": json_lines(REVIEW_2023),
            "meta_All_Beauty.jsonl.gz": json_lines({**product, "categories": ["Home", "Light"], "description": ["x"]}),
        },
    )
    log = read_log(folder)
    assert rows(log) == [("U", "B1", RATING, NOON * 1000 + 7, 4.0)]
    assert log.items == [Item("B1", title="Lamp", brand="Lux", categories=("Home > Light",), price=9.5)]


def test_amazon_2023_csv_of_ratings_leaves_histories_unread(tmp_path: Path) -> None:
    header = "user_id,parent_asin,rating,timestamp,history\n"
    written(
        tmp_path,
        **{
            "Beauty.csv.gz": f"{header}U,B1,4.0,{NOON * 1000},B7 B8\n",
            "meta_Beauty.jsonl": json_lines({"parent_asin": "B1", "title": "Lamp"}),
        },
    )
    log = read_log(tmp_path / "Beauty.csv.gz")
    assert rows(log) == [("U", "B1", RATING, NOON * 1000, 4.0)]
    assert log.items == [Item("B1", title="Lamp")]
    assert "histories are not read: a log holds its own" in log.notes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"reviewerID": "A1", "asin": ', "line 2: "),
        ("__import__('os').abort()", "is no review"),
        ('{"reviewerID": "A1", "asin": "B1", "overall": "five", "unixReviewTime": 1}', "overall"),
        ('{"reviewerID": "A1", "asin": "B1", "overall": 5}', "ts (column unixReviewTime) '' is no time"),
        ('{"asin": "B1", "overall": 5, "unixReviewTime": 1}', "user_id (column reviewerID) '' is empty"),
    ],
)
def test_a_broken_review_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    folder = written(tmp_path, **{"reviews_X.json": json_lines(REVIEW_2014) + line + "\n"})
    with pytest.raises(DataFileError) as caught:
        read_log(folder)
    assert "reviews_X.json, line 2: " in str(caught.value)
    assert said in str(caught.value)


def test_a_broken_product_is_named_with_its_line(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        **{"X_5.json": json_lines(REVIEW_2014), "meta_X.json": '{"asin": "B9"}\n{"asin": "B1", "title": \n'},
    )
    with pytest.raises(DataFileError, match=r"meta_X\.json, line 2: .* is no product"):
        read_log(folder)


# Temporal graphs


def test_jodie_csv_takes_who_what_and_when_and_none_of_the_features(tmp_path: Path) -> None:
    header = "user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n"
    path = written(tmp_path, **{"wikipedia.csv": header + "0,0,0.0,0,-0.1,0.2,1\n1,0,36.5,1,0,0,0\n"}) / "wikipedia.csv"
    log = read_log(path)
    assert rows(log) == [("0", "0", VIEW, 0, None), ("1", "0", VIEW, 36_500, None)]
    assert log.name == "wikipedia"
    assert rows(read_log(tmp_path)) == rows(log)
    path.write_text(header)
    with pytest.raises(DataFileError, match="at least one"):
        read_log(path)
    path.write_text(header + "0,0\n")
    with pytest.raises(DataFileError, match="line 2: fewer than 3 fields"):
        read_log(path)
    path.write_text(header + "0,0,0.0,0,1\n1,0\n")
    with pytest.raises(DataFileError, match=r"line 3: ts .* is no time"):
        read_log(path)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("ts,src,dst,w", f"{NOON},a,b,1.5"),
        ("day,src,dst,callsign", "2020-09-13T12:26:40,a,b,x"),
        (",u,i,ts,label", f"0,a,b,{NOON},0"),
    ],
)
def test_tgb_csv_is_time_source_destination(tmp_path: Path, header: str, row: str) -> None:
    path = written(tmp_path, **{"edges.csv": f"{header}\n{row}\n"}) / "edges.csv"
    assert rows(read_log(path)) == [("a", "b", VIEW, NOON * 1000, None)]


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_an_edge_list_is_a_log_too(tmp_path: Path, separator: str) -> None:
    lines = [("1", "8228", "0", "0.5"), ("2", "8229", "36", "0.1")]
    folder = written(tmp_path, **{"ml_x.txt.gz": "\n".join(separator.join(line) for line in lines)})
    log = read_log(folder)
    assert rows(log) == [("1", "8228", VIEW, 0, None), ("2", "8229", VIEW, 36_000, None)]
    assert "1 fields after the time are not read" in log.notes
    assert read_log(folder / "ml_x.txt.gz").name == "ml_x"


def test_prose_is_no_edge_list(tmp_path: Path) -> None:
    written(tmp_path, **{"notes.txt": "three words here\n"})
    with pytest.raises(DataFileError, match=r"'\.txt' is not known"):
        read_log(tmp_path / "notes.txt")


# Online Retail

LEDGER: list[list[object]] = [
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
    [536365, "85123A", "OLD LAMP", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "United Kingdom"],
    [536365, "85123A", "OLD LAMP", 2, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "United Kingdom"],
    [536366, 22423, "CAKE STAND", 1, datetime(2010, 12, 1, 8, 28), 12.75, None, "France"],
    ["C536367", 22423, "CAKE STAND", -1, datetime(2010, 12, 2, 8, 28), 12.75, 17850, "United Kingdom"],
    ["A563185", "B", "Adjust bad debt", 1, datetime(2010, 12, 3, 8, 28), 11062.06, 17850, "United Kingdom"],
    [536368, 22423, "CAKE STAND", 0, datetime(2010, 12, 4, 8, 28), 12.75, 13047, "United Kingdom"],
    [536369, "85123A", "NEW LAMP", 1, datetime(2010, 12, 5, 8, 28), 3.25, 13047, "United Kingdom"],
]
KEPT = [
    ("17850", "85123A", PURCHASE, 1_291_191_960_000, 6.0),
    ("13047", "85123A", PURCHASE, 1_291_537_680_000, 1.0),
]
LEFT_OUT = {
    "lines without a customer": 1,
    "lines of cancelled invoices (C…)": 1,
    "lines of booking corrections (A…)": 1,
    "lines with a quantity of 0 or less": 1,
    "repeated (user, item, event type, time)": 1,
}


def ledger_csv(customer: str = "CustomerID", price: str = "UnitPrice", invoice: str = "InvoiceNo") -> str:
    names = {"CustomerID": customer, "UnitPrice": price, "InvoiceNo": invoice}
    header = ",".join(names.get(str(name), str(name)) for name in LEDGER[0])
    lines = [
        ",".join("" if cell is None else f"{cell}.0" if cell in (17850, 13047) else str(cell) for cell in row)
        for row in LEDGER[1:]
    ]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize("edition", [{}, {"customer": "Customer ID", "price": "Price", "invoice": "Invoice"}])
def test_online_retail_keeps_purchases_of_customers_and_counts_the_rest(
    tmp_path: Path, edition: dict[str, str]
) -> None:
    log = read_log(written(tmp_path, **{"online_retail.csv.gz": ledger_csv(**edition)}))
    assert rows(log) == KEPT
    assert log.dropped == LEFT_OUT
    assert log.catalogue["85123A"] == Item("85123A", title="OLD LAMP", price=2.55)


def test_online_retail_reads_alike_from_the_workbook_that_uci_ships(tmp_path: Path) -> None:
    write_workbook(tmp_path / "Online Retail.xlsx", LEDGER)
    log = read_log(tmp_path)
    assert rows(log) == KEPT
    assert log.dropped == LEFT_OUT


def test_a_bad_cell_of_a_workbook_is_named_with_its_row(tmp_path: Path) -> None:
    bad = [*LEDGER, [536370, "85123A", "NEW LAMP", "many", datetime(2010, 12, 5, 8, 28), 3.25, 13047, "France"]]
    write_workbook(tmp_path / "Online Retail.xlsx", bad)
    with pytest.raises(DataFileError, match=r"row 9: value \(column Quantity\) 'many' is no number"):
        read_log(tmp_path)


# Folders, and tables of one's own


def test_any_workbook_with_the_usual_columns_is_a_log(tmp_path: Path) -> None:
    write_workbook(tmp_path / "shop.xlsx", [["user", "item", "time"], ["ann", 7, datetime(2020, 9, 13, 12, 26, 40)]])
    assert rows(read_log(tmp_path / "shop.xlsx")) == [("ann", "7", VIEW, NOON * 1000, None)]


def test_a_folder_with_one_table_that_is_a_log_needs_no_file_name(tmp_path: Path) -> None:
    pl.DataFrame({"user": ["a"], "item": ["b"], "time": [NOON]}).write_parquet(tmp_path / "shop.parquet")
    written(tmp_path, **{"people.csv": "user,age\na,9\n", ".hidden.csv": "user,item,time\n"})
    log = read_log(tmp_path)
    assert rows(log) == [("a", "b", VIEW, NOON * 1000, None)]
    assert log.name == tmp_path.name


def test_a_folder_with_two_tables_that_are_logs_asks_which(tmp_path: Path) -> None:
    written(tmp_path, **{"a.csv": f"user,item,time\na,b,{NOON}\n", "b.csv": f"user,item,time\na,b,{NOON}\n"})
    with pytest.raises(DataFileError, match=r"a\.csv, b\.csv could each be meant"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "layout"),
    [
        ("ratings.dat", f"1::10::5::{NOON}\n", "MovieLens .dat"),
        ("X_5.json", json_lines(REVIEW_2014), "Amazon reviews"),
        ("ml_x.txt", "1 2 3\n", "edge list"),
        ("interactions.csv", f"user,item,time\na,b,{NOON}\n", "interactions.* with items.*"),
    ],
)
def test_validation_names_the_layout(tmp_path: Path, name: str, content: str, layout: str) -> None:
    assert validate_log(written(tmp_path, **{name: content})).layout == layout


STARTS = {
    "ratings.dat": b"1::10::5::978300760\n",
    "ratings.csv": b"userId,movieId,rating,timestamp\n1,10,4.5,978300760\n",
    "u.data": b"196\t242\t3\t881250949\n",
    "X_5.json": json_lines(REVIEW_2014).encode(),
    "Y.jsonl": json_lines(REVIEW_2023).encode(),
    "wiki.csv": b"user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n0,0,0.0,0,1,2\n",
    "tgb.csv": b"ts,src,dst,w\n1,2,3,4\n",
    "edges.txt": b"1 2 3 0.5\n",
    "retail.csv": ledger_csv().encode(),
}
METADATA = b"{'asin': 'B1', 'parent_asin': 'B1', 'title': 'Lamp'}\n"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(STARTS)),
    st.one_of(st.binary(max_size=60), st.text(alphabet="ab1,;:\t\n\"'{}[]. \r-B", max_size=60).map(str.encode)),
    st.booleans(),
)
def test_whatever_follows_a_good_line_it_reads_or_is_refused_in_one_line(
    tmp_path: Path, name: str, body: bytes, in_catalogue: bool
) -> None:
    start = STARTS[name]
    (tmp_path / name).write_bytes(start if in_catalogue else start + body)
    for stem in ("X.json", "Y.jsonl"):
        (tmp_path / f"meta_{stem}").write_bytes(METADATA + (body if in_catalogue else b""))
    (tmp_path / "movies.dat").write_bytes(b"10::Lamp::War\n" + (body if in_catalogue else b""))
    try:
        assert len(read_log(tmp_path / name)) > 0
    except DataFileError as error:
        assert "\n" not in str(error)
