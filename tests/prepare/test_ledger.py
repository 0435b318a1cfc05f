"""The books close on every file: formats, layouts, missing values, copies, leaks, groups, times and test files."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare import prepare
from tuneproof.prepare.fingerprint import digest
from tuneproof.prepare.ledger import file_records, ledger, manifest, version
from tuneproof.prepare.split import names, place, questions
from tuneproof.prepare.stage import Prepared
from tuneproof.records import Drop, Schema, Splits, Table

Rows = list[dict[str, Any]]


# -- files of every format


def as_separated(path: Path, rows: Rows, separator: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def as_workbook(path: Path, rows: Rows) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("rows")
        sheet.write_row(0, 0, list(rows[0]))
        for number, row in enumerate(rows, start=1):
            sheet.write_row(number, 0, list(row.values()))


def as_parquet(path: Path, rows: Rows) -> None:
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


FLAT: dict[str, Callable[[Path, Rows], None]] = {
    ".csv": lambda path, rows: as_separated(path, rows, ","),
    ".tsv": lambda path, rows: as_separated(path, rows, "\t"),
    ".xlsx": as_workbook,
}
DEEP: dict[str, Callable[[Path, Rows], None]] = {
    ".jsonl": lambda path, rows: path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8") and None,
    ".json": lambda path, rows: path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]", "utf-8") and None,
    ".parquet": as_parquet,
}


# -- layouts: a drawn (question, answer, group, day) becomes a row


def as_text(question: str, answer: str) -> dict[str, Any]:
    return {"text": question, "label": answer}


def as_prompt(question: str, answer: str) -> dict[str, Any]:
    return {"prompt": question, "response": answer and f"an answer: {answer}"}


def as_messages(question: str, answer: str) -> dict[str, Any]:
    said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": said if answer else said[:1]}


LAYOUTS = {as_text: {**FLAT, **DEEP}, as_prompt: {**FLAT, **DEEP}, as_messages: DEEP}
CASES = [(layout, suffix) for layout, formats in LAYOUTS.items() for suffix in formats]
WORDS = st.sampled_from(["a short text", "A  short TEXT", "ﬁne and more", "fine and more", "the third of them", ""])
ROWS = st.lists(
    st.tuples(
        WORDS, st.integers(0, 40), st.sampled_from(["yes", "no", " yes ", ""]), st.integers(0, 12), st.integers(0, 9)
    ),
    min_size=40,
    max_size=60,
)
ASKED = st.sampled_from([{}, {"group": "who"}, {"time": "day"}, {"group": "who", "time": "day"}])
SETTINGS = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(drawn: Sequence[tuple[str, int, str, int, int]], layout: Callable[[str, str], dict[str, Any]]) -> Rows:
    return [
        {
            **layout(f"{words} number {number}" if words else "", answer),
            "who": f"person {who}" if who < 11 else "",
            "day": f"2024-01-{day + 1:02d}",
        }
        for words, number, answer, who, day in drawn
    ]


def accounted(prepared: Prepared) -> list[tuple[str, int]]:
    """(file, line) of every row that is used, and of every row that is named in the ledger."""
    used = [(part.file(at), part.lines[at]) for _, part in prepared.splits.items() for at in range(len(part))]
    return used + [(drop.source, line) for drop in prepared.ledger.dropped for line in drop.lines]


def assert_books(prepared: Prepared, files: dict[str, int]) -> None:
    books, splits = prepared.ledger, prepared.splits
    assert books.closes()
    assert {name.removesuffix(", sheet rows"): rows for name, rows in books.rows_in.items()} == files
    assert books.used == {side: len(part) for side, part in splits.items()}
    lines = accounted(prepared)
    assert len(set(lines)) == len(lines), "a row is used twice, or used and dropped"
    if all(drop.rows == len(drop.lines) for drop in books.dropped):  # the ledger names 20 lines of a reason at most
        assert len(lines) == sum(files.values())
    for _, part in splits.items():
        for at, row in enumerate(part.rows()):
            content = {name: value for name, value in row.items() if name not in ("id", "group", "time")}
            assert row["id"].partition("-")[0] == digest(content), part.lines[at]


def assert_apart(splits: Splits) -> None:
    """No question and no group stands on two sides; the test may be a file of its own."""
    for held in (questions, names):
        found = {side: set(held(part)) for side, part in splits.items()}
        assert not found["train"] & found["test"] and not found["train"] & found["validation"]
        if "group" not in splits.test.columns:
            continue
        assert not found["validation"] & found["test"]


@pytest.mark.parametrize(("layout", "suffix"), CASES, ids=lambda case: getattr(case, "__name__", case))
@SETTINGS
@given(drawn=ROWS, asked=ASKED, held=st.integers(0, 8))
def test_every_row_of_every_file_is_accounted_for_once(
    tmp_path: Path, answers, layout, suffix: str, drawn, asked: dict[str, str], held: int
) -> None:
    """``held`` rows, and copies of two others, are a test file of their own."""
    write = LAYOUTS[layout][suffix]
    rows = rows_of(drawn, layout)
    test = [*rows[:held], *rows[-2:]] if held else []
    train = rows[held:]
    path, other = tmp_path / f"train{suffix}", tmp_path / f"test{suffix}"
    write(path, train)
    files = {str(path): len(train)}
    if test:
        write(other, test)
        files[str(other)] = len(test)
        asked = {**asked, "test": str(other)}
    try:
        prepared = prepare(path, Data(max_missing=1.0, **asked), answers)
    except DataError as error:
        assert suffix in error.message and error.hint
        return
    assert_books(prepared, files)
    assert_apart(prepared.splits)
    again = prepare(path, Data(max_missing=1.0, **asked), answers)
    assert (again.splits, again.ledger, again.manifest) == (prepared.splits, prepared.ledger, prepared.manifest)


@SETTINGS
@given(drawn=ROWS, added=ROWS, group=st.booleans())
def test_rows_that_are_added_move_none(tmp_path: Path, answers, drawn, added, group: bool) -> None:
    """Whatever stays, stays on its side; only repairs for small files differ, and the hash tells which those are."""
    asked = Data(max_missing=1.0, **({"group": "who"} if group else {}))

    def divided(rows: Rows) -> dict[tuple[str, int], tuple[str, str]]:
        """(side by the hash alone, side) of each row."""
        path = tmp_path / "a.jsonl"
        DEEP[".jsonl"](path, rows)
        found = {}
        for side, part in prepare(path, asked, answers).splits.items():
            for name, id in zip(names(part), part.columns["id"], strict=True):
                found[id, name] = (plain(name), side)
        return found

    try:
        before = divided(rows_of(drawn, as_text))
        after = divided(rows_of([*drawn, *added], as_text))
    except DataError as error:
        assert error.hint
        return
    moved = {row for row in before.keys() & after.keys() if before[row] != after[row]}
    assert all(before[row][0] != before[row][1] or after[row][0] != after[row][1] for row in moved)


def plain(name: int) -> str:
    at, data = place(name, Data().salt), Data()
    if at < data.test_share:
        return "test"
    return "validation" if at < data.test_share + data.validation_share else "train"


# -- the books themselves


def table(ids: Sequence[str], source: str = "a.csv", files: Sequence[str] = ()) -> Table:
    return Table({"id": list(ids), "text": ["x"] * len(ids)}, range(1, len(ids) + 1), source, files)


def splits(*ids: Sequence[str]) -> Splits:
    return Splits(*(table(part) for part in ids))


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.booleans(), st.randoms(use_true_random=False))
def test_the_version_is_the_hash_of_the_sorted_ids(texts: list[str], copy: bool, random) -> None:
    ids = [digest({"text": text}) for text in texts]
    ids += [f"{ids[0]}-2"] if copy else []
    expected = hashlib.sha256(b"".join(sorted(bytes.fromhex(id[:32]) for id in ids))).hexdigest()
    shuffled = random.sample(ids, len(ids))
    assert version(splits(ids, (), ())) == version(splits(shuffled[1:], (), shuffled[:1])) == expected


def test_another_label_or_another_case_is_another_version() -> None:
    versions = {
        version(splits([digest(row)], (), ()))
        for row in ({"text": "a", "label": "x"}, {"text": "A", "label": "x"}, {"text": "a", "label": "y"})
    }
    assert len(versions) == 3


def test_rows_are_counted_by_the_file_that_they_stand_in() -> None:
    several = table("abc", "two files", ("a.csv", "b.csv", "b.csv"))
    books = ledger([several], splits("a", "b", ()), [Drop("empty text", 1, (3,), "b.csv")], ["a note"])
    assert books.rows_in == {"a.csv": 1, "b.csv": 2} and books.notes == ("a note",)


def test_books_that_do_not_close_are_our_fault() -> None:
    with pytest.raises(AssertionError, match="does not close"):
        ledger([table("abc")], splits("a", "b", ()), [], [])


def test_the_manifest_says_what_the_data_is(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text\nx\n")
    folder = tmp_path / "texts"
    (folder / "good").mkdir(parents=True)
    (folder / "good" / "1.txt").write_text("fine")
    schema = Schema("text-classification", "text+label", {"text": "text"}, ("x",), None, ("because",), "day")
    parts = splits(["b" * 64], ["a" * 64], ())
    made = manifest(parts, schema, "salt", file_records([file, folder]), parents=["older"], checks={"leakage": 3})
    written = json.loads(json.dumps(dataclasses.asdict(schema)))
    assert json.loads(json.dumps(made)) == made | {"schema": written} and written["labels"] == ["x"]
    assert list(made["files"]) == [str(file), str(folder / "good" / "1.txt")] and made["bytes"] == 7 + 4
    assert made["rows"] == 2 and made["splits"] == {"train": 1, "validation": 1, "test": 0}
    assert made["data_id"] == version(parts) and made["salt"] == "salt" and made["schema"]["time"] == "day"
    assert made["parents"] == ["older"] and made["checks"] == {"leakage": 3}
    bare = manifest(parts, schema, "salt", file_records([file]))
    assert bare["parents"] == [] and bare["checks"] == {}
