"""Every error of a data file is one line that names the input, the rule and the fix."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.readers import DataFileError, read_log, validate_log

HEADER = "user_id,item_id,ts,value\n"
GOOD = "ann,i,1600000000,1\n"


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(DataFileError) as caught:
        read_log(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",i,1600000000,1", "user_id '' is empty"),
        ("   ,i,1600000000,1", "user_id '   ' is empty"),
        ("ann,,1600000000,1", "item_id '' is empty"),
        (f"{'x' * 257},i,1600000000,1", "is longer than 256 bytes"),
        (f"{'ä' * 129},i,1600000000,1", "is longer than 256 bytes"),
        ("ann,i,soon,1", "ts 'soon' is no time"),
        ("ann,i,,1", "ts '' is no time"),
        ("ann,i,nan,1", "ts 'nan' is no time"),
        ("ann,i,-5,1", "ts '-5' is outside 1970 to 2100"),
        ("ann,i,32503680000,1", "ts '32503680000' is outside 1970 to 2100"),
        ("ann,i,1e23,1", "ts '1e23' is outside 1970 to 2100"),
        ("ann,i,1600000000,many", "value 'many' is no number"),
        ("ann,i,1600000000,NaN", "value 'NaN' is not finite"),
        ("ann,i,1600000000,inf", "value 'inf' is not finite"),
        ("ann,i,1600000000,1e13", "value '1e13' is not finite or beyond 10^12"),
        ("ann,i,1600000000,1,2", "5 fields where the header has 4"),
        ("ann,i,1600000000", "3 fields where the header has 4"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_value(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + GOOD + GOOD + row + "\n" + GOOD)
    message = refusal(path)
    assert message.startswith(f"{path}, line 4: ")
    assert said in message
    assert ";" in message  # the fix follows


def test_a_known_edge_is_still_inside(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + f"{'x' * 256},{'ä' * 128},0,1000000000000\n" + "ann,i,4102444799,-1\n")
    assert len(read_log(path)) == 2


def test_an_unknown_event_type_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time,event\na,i,1600000000,view\na,i,1600000000,steal\na,i,1600000000,\n")
    message = refusal(path)
    assert "line 3: event_type (column event) 'steal' is unknown; use one of: view, click" in message
    assert "(and 1 more;" in message


def test_line_numbers_count_the_lines_inside_quotes(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text('user,item,time,title\na,i,1600000000,"one\ntwo\nthree"\nb,i,never,x\n')
    assert f"{path}, line 5: ts (column time) 'never'" in refusal(path)


def test_line_numbers_count_blank_lines_in_every_text_format(tmp_path: Path) -> None:
    table, lines = tmp_path / "shop.csv", tmp_path / "shop.jsonl"
    table.write_text("user,item,time\n\n\na,i,never\n")
    lines.write_text('{"user": "a", "item": "i", "time": 1600000000}\n\n{"user": "a", "item": "i", "time": -1}\n')
    assert "line 4" in refusal(table)
    assert "line 3" in refusal(lines)


def test_parquet_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    pl.DataFrame({"user": ["a", None], "item": ["i", "i"], "time": [1, 2]}).write_parquet(path)
    assert f"{path}, row 2: user_id (column user) ''" in refusal(path)


def test_a_quote_that_never_closes_is_named_where_it_opens(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text('user,item,time\na,i,1600000000\n"b,i,1600000000\nc,i,1600000000\n')
    assert "line 3" in refusal(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"user": "a", "item": ', "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"user": "a", "item": "i", "time": 1600000000, "value": NaN}', "no JSON object"),
        ('{"user": {"id": 1}, "item": "i", "time": 1600000000}', "neither text nor number"),
        ('{"user": true, "item": "i", "time": 1600000000}', "neither text nor number"),
        ('{"item": "i", "time": 1600000000}', "user_id (column user) '' is empty"),
        ("{}", "is empty"),
        (f'{{"user": "a", "item": "i", "time": {10**23}}}', "outside 1970 to 2100"),
        (f'{{"user": "a", "item": "i", "time": {10**400}}}', "line 2"),
        ('{"user": "\\ud800", "item": "i", "time": 1600000000}', "line 2"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "shop.jsonl"
    good = '{"user": "a", "item": "i", "time": 1600000000}\n'
    path.write_text(good + line + "\n" + good)
    message = refusal(path)
    assert f"{path}, line 2: " in message
    assert said in message


def test_a_json_array_says_what_to_write_instead(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    path.write_text('[{"user": "a"}]')
    assert "one object per line" in refusal(path)


def test_a_missing_column_names_the_rule_the_columns_there_are_and_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("who,item,time\na,i,1600000000\n")
    message = refusal(path)
    assert "no column for user_id" in message
    assert "found: who, item, time" in message
    assert "--map user_id=COLUMN" in message


def test_a_mapped_column_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + GOOD)
    assert "user_id, item_id, ts, value" in refusal(path, mapping={"user_id": "customer"})
    assert "is no role; use one of: user_id" in refusal(path, mapping={"customer": "user_id"})


def test_a_column_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,user,item,time\na,b,i,1600000000\n")
    assert "column 'user' stands there twice" in refusal(path)


@pytest.mark.parametrize(
    ("encoding", "text", "said"),
    [
        (
            "latin-1",
            "Zoë",
            "byte 0xeb at position 46 is not UTF-8; if it stands for 'ë', read the file with --encoding latin-1",
        ),
        (
            "cp1252",
            "5€",
            "byte 0x80 at position 45 is not UTF-8; if it stands for '€', read the file with --encoding cp1252",
        ),
    ],
)
def test_another_encoding_is_named_with_line_byte_and_fix_and_then_read(
    tmp_path: Path, encoding: str, text: str, said: str
) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes((HEADER + GOOD + f"{text},i,1600000000,1\n").encode(encoding))
    message = refusal(path)
    assert message.startswith(f"{path}, line 3: ")
    assert said in message
    assert read_log(path, encoding=encoding).frame["user_id"].to_list() == ["ann", text]


@pytest.mark.parametrize("extension", [".csv", ".jsonl"])
def test_utf_16_is_named_and_then_read(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"shop{extension}"
    text = HEADER + GOOD if extension == ".csv" else '{"user": "ann", "item": "i", "time": 1600000000}\n'
    path.write_text(text, encoding="utf-16")
    assert "the file is UTF-16" in refusal(path)
    assert "--encoding utf-16" in refusal(path)
    assert read_log(path, encoding="utf-16").frame["user_id"].to_list() == ["ann"]


def test_streamed_reviews_are_read_in_another_encoding_too(tmp_path: Path) -> None:
    path = tmp_path / "X_5.json"
    line = '{"reviewerID": "Zoë", "asin": "B1", "overall": 5.0, "unixReviewTime": 1600000000}\n'
    path.write_bytes(line.encode() + line.encode("latin-1"))
    assert "X_5.json, line 2: byte 0xeb" in refusal(path)
    path.write_bytes(line.encode("latin-1"))
    assert read_log(path, encoding="latin-1").frame["user_id"].to_list() == ["Zoë"]
    path.write_bytes(line.encode())
    assert "X_5.json: what follows line 0 is not all ascii" in refusal(path, encoding="ascii")


def test_a_wrong_or_unknown_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + GOOD + "Zoë,i,1600000000,1\n")
    assert "line 3: the bytes at position" in refusal(path, encoding="ascii")
    assert "--encoding rot13: no such encoding" in refusal(path, encoding="rot13")
    assert "--encoding klingon: no such encoding" in refusal(path, encoding="klingon")


def test_an_unsorted_log_is_sorted_or_refused_with_line_and_both_times(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(
        "user,item,time\na,i,1600000000\n\nb,i,1600000060\nc,i,1600000070\nd,i,1600000065\ne,i,1600000001\n"
    )
    log = read_log(path)
    assert log.frame["user_id"].to_list() == ["a", "e", "b", "d", "c"]
    assert "rows were not in time order: sorted (stable)" in log.notes
    message = refusal(path, assume_sorted=True)
    assert f"{path}, line 6: its time '1600000065' is before '1600000070' of line 5" in message
    assert "sort it by time, or leave out --assume-sorted" in message
    path.write_text("user,item,time\na,i,1600000000\nb,i,1600000000\n")
    assert len(read_log(path, assume_sorted=True)) == 2


def test_repeated_rows_are_kept_or_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + GOOD + GOOD + "ann,i,1600000000,2\n" + "ann,i,1600000001,1\n")
    kept, dropped = read_log(path), read_log(path, drop_duplicates=True)
    assert len(kept) == 4
    assert "1 rows repeat another one exactly: kept, as each is an event" in kept.notes
    assert kept.dropped == {}
    assert dropped.frame["value"].to_list() == [1.0, 1.0]
    assert dropped.dropped == {"repeated (user, item, event type, time)": 2}
    assert not any("kept" in note for note in dropped.notes)


def test_logs_that_can_show_little_say_so(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time\na,i,1600000000\na,j,1600000000\n")
    notes = read_log(path).notes
    assert "all events are of one user: nothing can be learned from what others did" in notes
    assert "all events carry one time: their order is that of the file" in notes
    path.write_text("user,item,time\na,i,1600000000\nb,j,1600000001\n")
    assert not any(note.startswith("all events") for note in read_log(path).notes)


def test_published_splits_and_labels_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time,split,label\na,i,1600000000,test,1\nb,i,1600000001,train,0\n")
    log = read_log(path)
    assert log.frame["user_id"].to_list() == ["a", "b"]
    assert "columns not read: split, label" in log.notes
    assert "column split is a split: a log is replayed in its own time order, all of it" in log.notes


def test_relations_without_times_are_no_log(tmp_path: Path) -> None:
    path = tmp_path / "x.kg.gz"
    path.write_bytes(gzip.compress(b"head_id:token\trelation_id:token\ttail_id:token\n1\t2\t3\n"))
    assert "relations without times" in refusal(path)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("user,item\na,i\n")
    assert "no column for ts" in refusal(pairs)
    assert "a list without times cannot be replayed in time order" in refusal(pairs)


def test_items_that_the_catalogue_lacks_are_counted(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(HEADER + GOOD + "ann,j,1600000000,1\n")
    (tmp_path / "items.csv").write_text("item_id,title\ni,Lamp\n")
    assert "1 items with interactions are not in the catalogue" in read_log(tmp_path).notes


def test_files_that_are_no_log_are_refused_in_a_line(tmp_path: Path) -> None:
    def at(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    assert "no such file" in refusal(tmp_path / "absent.csv")
    assert "is empty" in refusal(at("empty.csv", b""))
    assert "is empty" in refusal(at("white.csv", b" \n\n"))
    assert "at least one" in refusal(at("header.csv", HEADER.encode()))
    assert "at least one" in refusal(at("blank.csv", HEADER.encode() + b"\n\n"))
    assert "line 1: the line is empty" in refusal(at("late.csv", b"\n" + HEADER.encode()))
    assert "'.docx' is not known" in refusal(at("shop.docx", b"PK"))
    assert "not a readable workbook" in refusal(at("shop.xlsx", b"PK"))
    assert "cannot be read" in refusal(at("shop.csv.gz", b"no gzip"))
    assert "cannot be read" in refusal(at("cut.csv.gz", gzip.compress(HEADER.encode() * 999)[:-9]))
    assert "not a readable Parquet file" in refusal(at("shop.parquet", b"PAR1 but no more"))
    assert "neither interactions.* nor" in refusal((tmp_path / "bare", (tmp_path / "bare").mkdir())[0])


def test_a_folder_with_two_logs_asks_which(tmp_path: Path) -> None:
    (tmp_path / "a.inter").write_text("x")
    (tmp_path / "b.inter").write_text("x")
    assert "a.inter, b.inter could each be meant" in refusal(tmp_path)


def test_parquet_lists_are_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    pl.DataFrame({"user": [["a"]], "item": ["i"], "time": [1]}).write_parquet(path)
    assert "user_id must be text or numbers" in refusal(path)


def test_a_bad_catalogue_is_refused_with_its_own_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(HEADER + GOOD)
    (tmp_path / "items.csv").write_text("item_id,title,price\ni,Lamp,cheap\n")
    assert f"{tmp_path / 'items.csv'}, line 2: price 'cheap' is no number" in refusal(tmp_path)
    (tmp_path / "items.csv").write_text("name\nLamp\n")
    assert "items.csv: no column for item_id" in refusal(tmp_path)


def test_validation_counts_every_problem_and_words_twenty(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + GOOD + ",i,never,x\n" * 30)
    report = validate_log(path)
    assert not report.ok
    assert report.n_problems == 90
    assert len(report.problems) == 20
    assert report.problems[0].line == 3
    assert report.to_dict()["ok"] is False


def test_validation_of_a_good_file_gives_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,time,event\nb,j,1600000060,purchase\n" + "a,i,1600000000,view\n" * 2)
    report = validate_log(path)
    assert report.ok
    assert (report.rows, report.users, report.items, report.catalogue) == (3, 2, 2, 0)
    assert report.span == (1_600_000_000_000, 1_600_000_060_000)
    assert report.event_types == {"view": 2, "purchase": 1}
    assert report.duplicates == 1
    assert not report.in_time_order


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".csv", ".tsv", ".inter", ".jsonl", ".parquet"]),
    st.one_of(st.binary(max_size=60), st.text(alphabet='ab1,;\t\n"{}:. \r-', max_size=60).map(str.encode)),
    st.sampled_from([b"", b"user,item,time\n", b"user\titem\ttime\n", b'{"user":"a","item":"b","time":1}\n']),
)
def test_whatever_a_file_holds_it_reads_or_is_refused_in_one_line(
    tmp_path: Path, extension: str, body: bytes, header: bytes
) -> None:
    path = tmp_path / f"any{extension}"
    path.write_bytes(header + body)
    try:
        assert len(read_log(path)) > 0
    except DataFileError as error:
        assert "\n" not in str(error)
