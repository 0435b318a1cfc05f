"""Headers that are none, that stand twice, that take two lines, and columns without a name."""

from __future__ import annotations

import pytest

from tuneproof.errors import DataError
from tuneproof.prepare.read import read

SCORES = "63.0,1.0,?\n67,1,2.5\n41,0,1.4\n56,1,.8\n"
SURVEY = (
    "id,Which films have you seen?,,Age\n"
    ",Episode I,Episode II,Response\n"
    "1,yes,3,18-29\n"
    "2,yes,1,30-44\n"
    "3,no,2,18-29\n"
    "4,,3,45-60\n"
)


def test_a_file_without_a_header_is_refused_with_both_ways_out(write) -> None:
    with pytest.raises(DataError, match=r"line 1 looks like a row.*data.header=no.*data.header=yes"):
        read(write("a.csv", SCORES))


def test_without_a_header_columns_are_called_by_position(write) -> None:
    table = read(write("a.csv", SCORES), header="no")
    assert list(table.columns) == ["column_1", "column_2", "column_3"]
    assert len(table) == 4 and list(table.lines) == [1, 2, 3, 4] and table.columns["column_1"][0] == "63.0"


def test_a_header_of_numbers_is_one_when_somebody_says_so(write) -> None:
    table = read(write("a.csv", "2010,2011\n1,2\n3,4\n"), header="yes")
    assert list(table.columns) == ["2010", "2011"] and len(table) == 2


def test_a_first_row_of_text_among_numbers_is_a_header(write) -> None:
    table = read(write("a.csv", "age,weight\n1,2\n3,4\n5,6\n"))
    assert list(table.columns) == ["age", "weight"]


def test_known_names_are_a_header_whatever_stands_below(write) -> None:
    assert len(read(write("a.csv", "text,label\ntext,label\ntext,label\n"))) == 2


def test_two_lines_of_names_become_one(write) -> None:
    table = read(write("a.csv", SURVEY))
    assert list(table.columns) == [
        "id",
        "Which films have you seen? / Episode I",
        "Which films have you seen? / Episode II",
        "Age / Response",
    ]
    assert list(table.lines) == [3, 4, 5, 6] and "lines 1 and 2 name the columns together" in table.notes[0]


def test_two_lines_of_names_are_not_joined_when_somebody_says_one(write) -> None:
    table = read(write("a.csv", SURVEY), header="yes")
    assert list(table.columns)[2] == "column_3" and len(table) == 5


def test_an_index_column_without_a_name_is_called_by_its_position(write) -> None:
    table = read(write("a.csv", ",text\n0,good\n1,bad\n"))
    assert list(table.columns) == ["column_1", "text"]
    assert 'called by their position: "column_1"' in table.notes[0]


def test_columns_with_neither_name_nor_value_are_left_out_and_noted(write) -> None:
    table = read(write("a.csv", "text;label;;\ngood;x;;\nbad;y;;\n"))
    assert list(table.columns) == ["text", "label"] and len(table) == 2
    assert "2 columns without a name and without a value left out" in table.notes[0]


def test_a_column_with_a_name_stays_even_when_it_is_empty(write) -> None:
    table = read(write("a.csv", "text,label,comment\ngood,x,\nbad,y,\n"))
    assert list(table.columns["comment"]) == [None, None]
