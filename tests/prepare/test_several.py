"""Several files of one layout are one table; anything else is refused with both layouts counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare import prepare
from tuneproof.prepare.read import read


def test_rows_keep_their_file_and_line_and_columns_may_stand_in_any_order(write) -> None:
    paths = [write("a.csv", "text,label\ngood,x\nbad,y\n"), write("b.jsonl", [{"label": "x", "text": "fine"}])]
    table = read(paths, ["a.csv", "b.jsonl"])
    assert list(table.columns["text"]) == ["good", "bad", "fine"] and list(table.columns["label"]) == ["x", "y", "x"]
    assert list(table.lines) == [2, 3, 1] and [table.file(row) for row in range(3)] == ["a.csv", "a.csv", "b.jsonl"]
    assert table.source == "a.csv + b.jsonl"


def test_different_columns_are_counted_with_their_files(write) -> None:
    one, other = "text,label\ngood,x\n", "text,lable\nbad,y\nworse,y\n"
    paths = [write("a.csv", one), write("b.csv", one), write("c.csv", other)]
    with pytest.raises(DataError) as caught:
        read(paths, ["a.csv", "b.csv", "c.csv"])
    told = str(caught.value)
    assert '"a.csv", "b.csv" (2 rows) have "label", "text"' in told and '"c.csv" (2 rows) has "lable", "text"' in told
    assert 'Did you mean "lable"?' in told


def test_a_file_named_twice_is_refused(write) -> None:
    path = write("a.csv", "text,label\ngood,x\n")
    with pytest.raises(DataError, match="named twice"):
        read([path, path.parent / "." / "a.csv"], ["a.csv", "./a.csv"])


def test_no_file_at_all() -> None:
    with pytest.raises(DataError, match="no file to read"):
        read([])


def test_notes_of_every_file_are_kept(write) -> None:
    paths = [
        write("a.csv", "text,label\nun café déjà vu,x\n".encode("cp1252")),
        write("b.csv", "text,label,\ngood,x,\n"),
    ]
    notes = " ".join(read(paths, ["a.csv", "b.csv"]).notes)
    assert "a.csv was read as cp1252" in notes and "b.csv: 1 column without a name" in notes


def test_the_whole_stage_takes_them(tmp_path: Path, write, answers) -> None:
    texts = [[f"this is the review number {i} of part {part}" for i in range(30)] for part in range(2)]
    paths = [
        write(f"{part}.csv", "text,label\n" + "".join(f"{text},{'ab'[i % 2]}\n" for i, text in enumerate(texts[part])))
        for part in range(2)
    ]
    prepared = prepare(paths, Data(), answers, ["0.csv", "1.csv"])
    assert prepared.ledger.rows_in == {"0.csv + 1.csv": 60} or sum(prepared.ledger.rows_in.values()) == 60
    assert {file for _, table in prepared.splits.items() for file in table.files} == {"0.csv", "1.csv"}


def test_options_of_the_training_file_do_not_bind_a_test_file_of_another_format(write, answers) -> None:
    rows = [{"column_1": f"this is the review number {i}", "column_2": "ab"[i % 2]} for i in range(40)]
    train = write("train.csv", "".join(f"{row['column_1']} for training,{row['column_2']}\n" for row in rows))
    test = write("test.jsonl", rows)
    prepared = prepare(train, Data(header="no", test=str(test)), answers)
    assert prepared.ledger.used["test"] == 40 and prepared.ledger.rows_in[str(train)] == 40
