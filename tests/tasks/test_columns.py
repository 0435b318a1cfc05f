"""Whole columns say what a loop over the rows in plain Python says."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.records import Schema, Table
from tuneproof.tasks import columns
from tuneproof.tasks.rows import canonical_text
from tuneproof.tasks.tables import canonical_rows, canonical_texts

TEXT = st.text(
    st.sampled_from(
        [*"abAB .!:9~\x7f", "\t", "\n", "\x1c", "\x1f", "\x85", "\xa0", "\u2003", "\u3000", "\ufb01", "ß", "İ", "é"]
    ),
    max_size=6,
)  # white space of every kind, a ligature, letters that change their length when folded
CELLS = st.lists(st.none() | TEXT | st.text(max_size=4), max_size=30)


@given(CELLS)
def test_columns_equal_the_loop(cells: list[str | None]) -> None:
    column = columns.strings(cells)
    assert column is not None and column.to_list() == cells
    assert columns.stripped(column).to_list() == [cell if cell is None else cell.strip() for cell in cells]
    assert columns.blank(column).to_list() == [cell is None or not cell.strip() for cell in cells]
    digits = [cell is not None and cell[:1] in tuple("0123456789") for cell in cells]
    assert columns.begins_between(column, "0", "9").to_list() == digits
    assert columns.folded(column).to_list() == [cell if cell is None else columns.fold(cell) for cell in cells]
    assert columns.is_first(column).to_list() == [cell not in cells[:row] for row, cell in enumerate(cells)]
    assert columns.distinct(cells) == list(dict.fromkeys(cells))
    assert list(columns.counted(cells).items()) == [(cell, cells.count(cell)) for cell in dict.fromkeys(cells)]
    again = columns.repeated(column).to_list()
    assert all(again[row] for row, cell in enumerate(cells) if cells.count(cell) > 1)


def test_a_series_is_taken_as_it_is_and_other_types_are_not_text() -> None:
    series = pl.Series(["a", None])
    assert columns.strings(series) is series and columns.listed(series) == ["a", None]
    assert columns.strings(pl.Series([1, 2])) is None and columns.strings(["a", 1]) is None
    assert columns.strings([["a"]]) is None and columns.strings([True, "a"]) is None


def test_values_that_python_holds_equal_are_distinct_by_type() -> None:
    assert columns.distinct([1, 1.0, True, 1, None, ["x"], {"y": 1}, "1"]) == [1, 1.0, True, None, "1"]
    assert [type(value) for value in columns.distinct([1, 1.0, True])] == [int, float, bool]


VALUES = (
    st.none() | TEXT | st.sampled_from(["1", "1.0", " 1 ", "yes", "no ", 1, 1.0, 2.5, True, False, ["x"], {"x": 1}])
)
LABELS = st.sampled_from([(), ("1", "2"), ("1", "1.0", "yes"), ("yes", "no")])


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=25), LABELS, st.booleans())
def test_the_columns_of_a_table_equal_its_rows(
    drawn: list[tuple[Any, Any]], labels: tuple[str, ...], texts: bool
) -> None:
    said = [text if not texts or isinstance(text, str) else None for text, _ in drawn]
    table = Table({"said": said, "is": [label for _, label in drawn]}, range(2, len(drawn) + 2), "a.csv")
    schema = Schema("text-classification", "text+label", {"text": "said", "label": "is"}, labels, None, ())
    one, other = canonical_texts(table, schema), canonical_rows(table, schema, canonical_text)
    assert {name: columns.listed(values) for name, values in one.parts.items() if len(values)} == dict(other.parts)
    assert list(one.indices) == list(other.indices)
    assert {reason: list(where) for reason, where in one.unusable.items()} == other.unusable


@pytest.mark.parametrize("missing", ["said", "is"])
def test_a_column_that_is_not_there_leaves_no_row(missing: str) -> None:
    table = Table({name: ["x", "y"] for name in ("said", "is") if name != missing}, [2, 3], "a.csv")
    schema = Schema("text-classification", "text+label", {"text": "said", "label": "is"}, (), None, ())
    reason = "empty text" if missing == "said" else "no label"
    assert canonical_texts(table, schema).unusable == {reason: [0, 1]}
