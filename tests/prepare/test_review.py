"""The review file: written, edited as a person and a spreadsheet would, handed back, carried out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.config import Check, Data
from tuneproof.errors import DataError
from tuneproof.prepare import Diagnosis, Prepared, examine, prepare
from tuneproof.prepare.fingerprint import digest
from tuneproof.prepare.ledger import version
from tuneproof.prepare.review import COLUMNS, FORMULA, apply, escaped, read_review, unescaped, write_review
from tuneproof.records import Finding, Schema, Splits, Table

SCHEMA = Schema("text-classification", "text+label", {"text": "text", "label": "label"}, ("bad", "good"), None, ())
TRAIN = [("=1+1 is what it costs", "good"), ("arrived broken", "good"), ("works, says Jo (jo@example.org)", "good")]
TRAIN += [
    ("fell apart on March 2", "bad"),
    ("March 2", "bad"),
    ("mal cassé; très déçu", "bad"),
    ("arrived  Broken", "bad"),
]
Edit = Callable[[list[dict[str, str]]], list[dict[str, str]]]


def table(rows: list[tuple[str, str]], source: str = "reviews.csv") -> Table:
    ids = [digest({"text": text, "label": label}) for text, label in rows]
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    return Table({"id": ids, "text": texts, "label": labels}, list(range(2, 2 + len(rows))), source)


def splits() -> Splits:
    held = table([("very good", "good"), ("very bad", "bad")], "held.csv")
    return Splits(table(TRAIN), held, table([("not bad at all", "bad"), ("bad", "bad")], "test.csv"))


def finding(splits: Splits, side: str, index: int, check: str = "label_issues", **more: Any) -> Finding:
    rows = dict(splits.items())[side]
    return Finding(check, "warn", side, rows.columns["id"][index], rows.source, rows.lines[index], "odd", **more)


def everything(splits: Splits) -> list[Finding]:
    return [finding(splits, side, index) for side, rows in splits.items() for index in range(len(rows))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A review of every row."""
    write_review(everything(splits()), splits(), tmp_path / "review.csv")
    return tmp_path / "review.csv"


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def edit(path: Path, decisions: Mapping[int, Mapping[str, str]]) -> None:
    """Changes cells of the lines with these numbers, as the file counts them (the header is line 1)."""
    rows = lines(path)
    for line, cells in decisions.items():
        rows[line - 2].update(cells)
    save(path, rows)


def save(path: Path, rows: list[dict[str, str]], separator: str = ",", encoding: str = "utf-8-sig") -> None:
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS, delimiter=separator, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(content.getvalue().encode(encoding))


def test_a_row_stands_there_once_with_all_that_was_said_about_it(tmp_path: Path) -> None:
    data = splits()
    found = [
        finding(data, "train", 1, "conflicts"),
        finding(data, "test", 0, suggest="good", score=0.01234567),
        finding(data, "train", 1, suggest="bad", score=-0.5),
    ]
    assert write_review(found, data, tmp_path / "review.csv") == 2
    assert (tmp_path / "review.csv").read_bytes().startswith(b"\xef\xbb\xbfdecision,")
    first, second = lines(tmp_path / "review.csv")
    assert first["check"] == "conflicts, label_issues" and first["suggestion"] == "bad" and first["score"] == "-0.5"
    assert (second["side"], second["file"], second["line"]) == ("test", "test.csv", "2")
    assert second["score"] == "0.01235" and second["decision"] == second["new_label"] == ""


def test_what_the_doctor_took_out_already_needs_no_decision(tmp_path: Path) -> None:
    data = splits()
    after = Splits(data.train.take([0, 2]), data.validation, data.test)
    assert write_review(everything(data), data, tmp_path / "review.csv", after) == 6
    assert [row["line"] for row in lines(tmp_path / "review.csv")] == ["2", "4", "2", "3", "2", "3"]


def test_personal_data_is_masked_and_formulas_are_defused(path: Path) -> None:
    content = path.read_bytes()
    assert b"jo@example.org" not in content
    rows = lines(path)
    assert rows[0]["text"] == "'=1+1 is what it costs" and rows[4]["text"] == "'March 2"
    assert not any(cell.startswith(FORMULA[:-1]) for row in rows for name, cell in row.items() if name != "score")


@given(st.text(max_size=60))
def test_escaping_can_be_undone_and_leaves_no_formula(value: str) -> None:
    assert unescaped(escaped(value)) == value
    assert not escaped(value).startswith(FORMULA[:-1])


def test_a_file_that_a_person_may_have_edited_is_not_overwritten(path: Path) -> None:
    with pytest.raises(DataError, match="exists already"):
        write_review([], splits(), path)


def test_decisions_are_carried_out_and_every_row_is_accounted_for(path: Path) -> None:
    relabel = {"decision": "relabel", "new_label": "bad"}
    new = {"decision": "Relabel New", "new_label": "date"}
    edit(path, {2: {"decision": "Keep"}, 3: {"decision": "drop"}, 4: relabel, 5: {"new_label": "good"}})
    edit(path, {6: new, 7: {**new, "decision": "relabel_new"}, 11: {**relabel, "new_label": "good"}})
    before = splits()
    after, dropped, notes = apply(before, read_review(path, before, SCHEMA))
    assert list(after.train.columns["label"]) == ["good", "bad", "good", "date", "date", "bad"]
    assert (
        list(after.test.columns["label"]) == ["good", "bad"] and after.validation.columns == before.validation.columns
    )
    assert [(one.reason, one.rows, one.lines, one.source) for one in dropped] == [
        ("dropped in review", 1, (3,), "reviews.csv")
    ]
    assert sum(len(rows) for _, rows in after.items()) + 1 == sum(len(rows) for _, rows in before.items())
    assert notes[0] == "reviews.csv: 4 train rows relabelled in review (lines 4, 5, 6, 7)"
    assert notes[1] == "test.csv: 1 test row relabelled in review (line 2)"
    assert notes[2] == f"{path}: 1 row kept as they are, 4 without a decision"
    assert version(after) != version(before)
    assert after.train.columns["id"][1] == digest({"text": TRAIN[2][0], "label": "bad"})


def test_without_decisions_nothing_changes(path: Path) -> None:
    before = splits()
    after, dropped, _ = apply(before, read_review(path, before, SCHEMA))
    assert after == before and dropped == []


def test_a_row_that_becomes_a_copy_leaves_train_but_not_the_test(tmp_path: Path) -> None:
    test = table([("same", "bad"), ("same", "good")], "test.csv")
    data = Splits(splits().train, splits().validation, test)
    path = tmp_path / "review.csv"
    write_review([finding(data, "train", 6), finding(data, "test", 1)], data, path)
    edit(path, {line: {"decision": "relabel", "new_label": label} for line, label in ((2, "good"), (3, "bad"))})
    after, dropped, _ = apply(data, read_review(path, data, SCHEMA))
    assert [(one.reason, one.lines) for one in dropped] == [("exact duplicate after review", (8,))]
    assert len(after.train) == len(TRAIN) - 1
    assert after.test.columns["id"][1] == after.test.columns["id"][0] + "-2"


@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        ({2: {"decision": "delete"}}, '"delete" is no decision. Write "keep", "drop", "relabel", "relabel-new".'),
        ({2: {"decision": "dorp"}}, 'Did you mean "drop"?'),
        ({3: {"decision": "keep", "new_label": "bad"}}, "line 3: the decision is keep, but there is the new label"),
        ({3: {"decision": "relabel"}}, "line 3: relabel, but new_label is empty"),
        ({3: {"decision": "relabel", "new_label": "good"}}, 'line 3: the row has the label "good" already'),
        ({3: {"new_label": "Bad"}}, 'no row has the label "Bad". Did you mean "bad"? Write relabel-new'),
        ({3: {"text": "arrived whole"}}, "line 3: the text of the row was edited"),
        ({3: {"label": "bad"}}, "label of the row was edited, which would have no effect. Put it back and write the"),
        ({3: {"id": "f" * 64}}, f'line 3: no row of the data has the id "{"f" * 16}"'),
        ({11: {"decision": "drop"}}, "line 11: a test row cannot be dropped in a review. Keep or relabel it; or take"),
        ({line: {"decision": "drop"} for line in (9, 10)}, "its decisions take every validation row"),
        ({line: {"decision": "drop"} for line in (5, 6, 7, 8)}, 'no train row has the label "bad", and other rows'),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_by_line_and_with_a_remedy(
    decisions: dict[int, dict[str, str]], said: str, path: Path
) -> None:
    edit(path, decisions)
    with pytest.raises(DataError) as caught:
        apply(splits(), read_review(path, splits(), SCHEMA))
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.hint


def test_decisions_that_contradict_each_other_are_refused(path: Path) -> None:
    rows = lines(path)
    rows += [{**rows[1], "decision": "drop"}]
    rows[1]["decision"] = "keep"
    save(path, rows)
    with pytest.raises(DataError, match=r"line 13: the row was decided otherwise in line 3 \(keep, here drop\)"):
        read_review(path, splits(), SCHEMA)


def test_a_file_that_is_no_review_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label\ngood,1\n", encoding="utf-8")
    with pytest.raises(
        DataError, match='there is no column "decision", "new_label", "id"; the file has "text", "label"'
    ):
        read_review(tmp_path / "other.csv", splits(), SCHEMA)


def test_rows_without_labels_can_be_dropped_but_not_relabelled(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "-"}]
    rows = Table({"id": ["a", "b"], "messages": [talk, talk]}, [1, 2], "chat.jsonl")
    data, path = Splits(rows, rows.take([0]), rows.take([1])), tmp_path / "review.csv"
    schema = Schema("instruction", "messages", {"messages": "messages"}, (), None, ())
    write_review([Finding("outliers", "info", "train", "a", "chat.jsonl", 1, "odd")], data, path)
    assert lines(path)[0]["text"] == "user: hello\nassistant: -"
    edit(path, {2: {"decision": "drop"}})
    after, dropped, _ = apply(data, read_review(path, data, schema))
    assert list(after.train.columns["id"]) == ["b"] and dropped[0].rows == 1
    edit(path, {2: {"decision": "relabel", "new_label": "x"}})
    with pytest.raises(DataError, match="have no label to change"):
        read_review(path, data, schema)


def with_texts(change: Callable[[str], str]) -> Edit:
    return lambda rows: [{**row, "text": change(row["text"])} for row in rows]


SAVED: dict[str, Edit] = {
    "with line breaks of another system": with_texts(lambda text: text.replace("\n", "\r\n")),
    "without the leading quotes": with_texts(lambda text: text.removeprefix("'")),
    "sorted by another column": lambda rows: sorted(rows, key=lambda row: row["text"]),
    "only the first rows left": lambda rows: rows[:2],
}


@pytest.mark.parametrize("change", SAVED)
@pytest.mark.parametrize(
    ("separator", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-16"), (";", "cp1252")]
)
def test_it_is_read_as_spreadsheets_save_it(change: str, separator: str, encoding: str, path: Path) -> None:
    rows = lines(path)
    rows[1]["decision"] = "drop"
    save(path, SAVED[change](rows), separator, encoding)
    after, dropped, _ = apply(splits(), read_review(path, splits(), SCHEMA))
    assert len(after.train) == len(TRAIN) - 1 and dropped[0].lines == (3,)


def test_the_whole_stage_carries_it_out_and_its_ledger_closes(reviews_csv: Path, answers: Any, tmp_path: Path) -> None:
    before = prepare(reviews_csv, Data(), answers)
    path = tmp_path / "review.csv"
    write_review([finding(before.splits, "train", index) for index in range(4)], before.splits, path)
    new = {"decision": "relabel-new", "new_label": "mixed"}
    edit(path, {2: {"decision": "drop"}, 3: new, 4: new})
    after = prepare(reviews_csv, Data(), answers, review=str(path))
    assert after.ledger.closes() and after.ledger.used["train"] == before.ledger.used["train"] - 1
    assert [one.reason for one in after.ledger.dropped] == ["dropped in review"]
    assert "2 train rows relabelled in review" in " ".join(after.ledger.notes)
    assert after.schema.labels == ("bad", "good", "mixed")
    assert after.manifest["data_id"] != before.manifest["data_id"]


def test_empty_cells_at_the_end_may_be_missing(path: Path) -> None:
    """Excel leaves out the separators of empty cells at the end of a line; the last column is never empty."""
    assert COLUMNS[-1] == "id" and all(row["id"] for row in lines(path))


MAIL = "jo@example.org"


def redacted(file: Path, answers: Any) -> tuple[Prepared, Diagnosis]:
    """The rows of ``file`` with a row that is nothing but an address, before and after the doctor replaces it."""
    with file.open("a", encoding="utf-8") as out:
        out.write(f"{MAIL},good\n")
    before = prepare(file, Data(), answers)
    options = Check(personal_data="fix", leakage="keep")
    return before, examine(before, answers[before.schema.task], options, seed=0, no_embed="none")


def test_from_the_review_of_redacted_rows_no_text_can_be_guessed_and_its_decisions_apply(
    reviews_csv: Path, answers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    before, after = redacted(reviews_csv, answers)
    path = tmp_path / "review.csv"
    other = finding(before.splits, "train", 0)
    write_review([*after.findings, other], before.splits, path, after.prepared.splits)
    guess = digest({"text": MAIL, "label": "good"})
    assert any(guess in table.columns["id"] for _, table in before.splits.items())
    assert guess not in path.read_text(encoding="utf-8-sig") and MAIL not in path.read_text(encoding="utf-8-sig")
    rows = lines(path)
    at = next(number for number, row in enumerate(rows) if "personal_data" in row["check"])
    assert rows[at]["id"].startswith("keyed-") and rows[at]["line"] == "62"
    assert unescaped(next(row for row in rows if row["line"] == str(other.line))["id"]) == other.id
    edit(path, {at + 2: {"decision": "relabel", "new_label": "bad"}})
    relabelled = prepare(reviews_csv, Data(), answers, review=str(path))
    labels = {
        text: label
        for _, table in relabelled.splits.items()
        for text, label in zip(table.columns["text"], table.columns["label"], strict=True)
    }
    assert labels[MAIL] == "bad" and relabelled.ledger.closes()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other home"))
    with pytest.raises(DataError, match=r"no row of the data has the id") as refused:
        prepare(reviews_csv, Data(), answers, review=str(path))
    assert "the key of the placeholders" in refused.value.hint
