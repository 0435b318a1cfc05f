from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneproof.prepare.read import read


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_sniffed(write, separator: str) -> None:
    table = read(write("a.csv", f"text{separator}label\na, b; c good{separator}x\n".replace("a, b; c ", "")))
    assert list(table.columns) == ["text", "label"]
    assert table.row(0) == {"text": "good", "label": "x"}


def test_every_record_knows_the_line_where_it_starts(write) -> None:
    table = read(write("a.csv", 'text,label\n"one\ntwo\r\nthree",x\n\nlast,y\n'))
    assert list(table.lines) == [2, 6]
    assert list(table.columns["text"]) == ["one\ntwo\r\nthree", "last"]


def test_windows_line_ends_and_a_byte_order_mark(write) -> None:
    table = read(write("a.csv", b"\xef\xbb\xbftext,label\r\ngood,x\r\nbad,y\r\n"))
    assert list(table.columns) == ["text", "label"] and list(table.lines) == [2, 3]
    assert list(table.columns["label"]) == ["x", "y"]


def test_old_mac_line_ends(write) -> None:
    assert list(read(write("a.csv", b"text,label\rgood,x\rbad,y\r")).lines) == [2, 3]


def test_cells_stay_as_they_are_and_empty_ones_are_none(write) -> None:
    table = read(write("a.csv", 'text,label\n" spaced ",\nNA,007\n'))
    assert list(table.columns["text"]) == [" spaced ", "NA"] and list(table.columns["label"]) == [None, "007"]


def test_a_cell_may_be_longer_than_the_csv_module_allows(write) -> None:
    before = csv.field_size_limit()
    assert len(read(write("a.csv", f"text,label\n{'x' * 200_000},y\n")).columns["text"][0]) == 200_000
    assert csv.field_size_limit() == before


def test_jsonl_keeps_types_and_fills_missing_keys(write) -> None:
    table = read(write("a.jsonl", '{"a": 1, "b": [1]}\n\n{"a": NaN}\n'))
    assert table.columns["a"] == [1, None] and table.columns["b"] == [[1], None]
    assert list(table.lines) == [1, 3]


def test_a_line_separator_inside_a_string_is_not_a_line(write) -> None:
    table = read(write("a.jsonl", '{"a": "x\u2028y"}\n{"a": "z"}\n'))
    assert list(table.lines) == [1, 2]


def test_a_json_array_knows_its_lines(write) -> None:
    table = read(write("a.json", '[\n {"a": 1},\n {\n  "a": 2\n },\n {"a": 3}]\n'))
    assert table.columns["a"] == [1, 2, 3] and list(table.lines) == [2, 3, 6]


def test_content_decides_where_the_suffix_is_unknown(write) -> None:
    assert read(write("a.dat", '{"a": 1}\n')).columns == {"a": [1]}
    assert list(read(write("b.txt", "a\tb\nx\ty\n")).rows()) == [{"a": "x", "b": "y"}]


def test_parquet(tmp_path: Path) -> None:
    import polars as pl

    pl.DataFrame({"text": ["x", None], "n": [1.5, float("nan")]}).write_parquet(tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet")
    assert list(table.rows()) == [{"text": "x", "n": 1.5}, {"text": None, "n": None}] and list(table.lines) == [1, 2]


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read_back_with_the_right_lines(tmp_path: Path, rows, end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["the text", "the label"])
    starts = []
    for row in rows:
        starts.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    path = tmp_path / "a.csv"
    path.write_bytes(out.getvalue().encode())
    table = read(path)
    assert list(table.lines) == starts
    assert [tuple(cell or "" for cell in row.values()) for row in table.rows()] == rows
