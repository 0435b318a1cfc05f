from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.errors import DataError
from tuneproof.prepare import schema as understanding
from tuneproof.prepare.clean import clean, identify, notes
from tuneproof.prepare.fingerprint import digest
from tuneproof.records import Schema, Table
from tuneproof.tasks import TASKS

SCHEMA = Schema("text-classification", "text+label", {"text": "text", "label": "label"}, ("no", "yes"), None, ())
ANSWER = TASKS["text-classification"].answer
TEXT = st.text(st.sampled_from("ab\0 1:é"), max_size=5)


def table(texts: list[Any], labels: list[Any], files: tuple[str, ...] = (), **more: list[Any]) -> Table:
    return Table({"text": texts, "label": labels, **more}, range(2, len(texts) + 2), "a.csv", files)


@given(st.lists(st.tuples(TEXT, TEXT, st.lists(TEXT, max_size=2)), min_size=1, max_size=20))
def test_ids_of_columns_are_those_of_rows_and_no_two_contents_share_one(rows: list[tuple[str, str, list[str]]]) -> None:
    contents = [{"text": text, "label": label, "talk": talk} for text, label, talk in rows]
    names = ("text", "label", "talk")
    ids = identify({name: [content[name] for content in contents] for name in names})
    assert [id.partition("-")[0] for id in ids] == [digest(content) for content in contents]
    assert len(set(ids)) == len(ids)
    assert len({id.partition("-")[0] for id in ids}) == len({repr(content) for content in contents})


def test_the_copies_of_a_test_file_stay_and_have_numbers() -> None:
    cleaned, dropped = clean(table(["a", "a", "b", "a"], ["yes"] * 4), ANSWER, SCHEMA, 0.2, duplicates=True)
    first, second, other, third = cleaned.columns["id"]
    assert (second, third) == (f"{first}-2", f"{first}-3") and other != first and dropped == []


def test_lists_and_series_are_cleaned_alike() -> None:
    texts = ["A  b", "a b", None, "ﬁne", "fine", "x"]
    labels = ["yes", "yes", "no", "no", " no", ""]
    listed = table(texts, labels)
    series = Table({"text": pl.Series(texts), "label": pl.Series(labels)}, listed.lines, "a.csv")
    cleaned, dropped = clean(listed, ANSWER, SCHEMA, 0.5)
    assert (cleaned, dropped) == clean(series, ANSWER, SCHEMA, 0.5)
    assert cleaned.columns["text"] == ["A  b", "ﬁne"] and cleaned.lines == [2, 5]
    assert {drop.reason: drop.lines for drop in dropped} == {
        "no label": (7,),
        "empty text": (4,),
        "exact duplicate": (3, 6),
    }


def test_drops_are_told_by_file() -> None:
    files = ("a.csv", "a.csv", "b.csv", "b.csv")
    cleaned, dropped = clean(table(["a", "", "a", "c"], ["yes"] * 4, files), ANSWER, SCHEMA, 0.5)
    assert [(drop.reason, drop.source, drop.lines) for drop in dropped] == [
        ("empty text", "a.csv", (3,)),
        ("exact duplicate", "b.csv", (4,)),
    ]
    assert cleaned.files == ["a.csv", "b.csv"] and cleaned.lines == [2, 5]


def test_too_little_is_refused_with_the_first_line_of_the_worst_reason() -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 3: 2 of 3 rows \(67%\) are unusable \(empty text 2; "):
        clean(table(["a", "", None], ["yes"] * 3), ANSWER, SCHEMA, 0.2)


def test_groups_and_times_stand_beside_the_content() -> None:
    schema = Schema(**{**{name: getattr(SCHEMA, name) for name in SCHEMA.__slots__}, "group": "who", "time": "when"})
    rows = table(["a", "b", "c"], ["yes"] * 3, who=[" u1", None, 7], when=["2024-01-02", "2023-05-06", "2024-01-01"])
    cleaned, _ = clean(rows, ANSWER, schema, 0.2)
    assert list(cleaned.columns) == ["id", "group", "time", "text", "label"]
    assert cleaned.columns["group"] == ["u1", None, "7"]
    assert [time[:10] for time in cleaned.columns["time"]] == ["2024-01-02", "2023-05-06", "2024-01-01"]
    plain, _ = clean(rows, ANSWER, SCHEMA, 0.2)
    assert plain.columns["id"] == cleaned.columns["id"]


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "a ", "b", "ﬁ", "fi"]), st.sampled_from("xyz")), min_size=1))
def test_conflicts_are_those_that_a_loop_finds(rows: list[tuple[str, str]]) -> None:
    cleaned = table([text for text, _ in rows], [label for _, label in rows])
    labels: dict[str, set[str]] = {}
    lines: dict[str, int] = {}
    for line, (text, label) in enumerate(rows, start=2):
        key = text.strip().lower().replace("ﬁ", "fi")
        labels.setdefault(key, set()).add(label)
        lines.setdefault(key, line)
    conflicts = sorted(lines[key] for key in labels if len(labels[key]) > 1)
    told = [note for note in notes(cleaned) if "different labels" in note]
    assert len(told) == bool(conflicts)
    if conflicts:
        assert f"lines {', '.join(map(str, conflicts))})" in told[0] or f"line {conflicts[0]})" in told[0]


CELL = st.none() | st.text(st.sampled_from("12.eE+- aé\t\x1c"), max_size=5)


@given(st.lists(CELL, max_size=40))
def test_facts_of_a_column_of_text_are_those_found_value_by_value(cells: list[str | None]) -> None:
    fast = understanding._text_column("x", pl.Series(cells, dtype=pl.String))
    assert fast == understanding._mixed_column("x", cells)


def test_of_many_values_the_most_frequent_are_kept_the_earlier_first() -> None:
    cells = [f"v{number}" for number in range(1500)] + ["v1400", "v1400", "v7"]
    fast = understanding._text_column("x", pl.Series(cells))
    assert fast == understanding._mixed_column("x", cells)
    assert fast.values[:3] == ("v1400", "v7", "v0") and len(fast.values) == 1000 and fast.distinct == 1500
